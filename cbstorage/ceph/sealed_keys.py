"""Keys on their way through etcd: sealed to one host, opened by that host only."""

import base64
from collections.abc import Iterable

from cbstorage.ceph.cephx import Identity, is_key
from cbstorage.model import SealedKey, SealedKeys
from cladnet import seal
from larva.errors import MalformedData


def seal_keys(seal_key: str, identities: Iterable[Identity]) -> SealedKeys:
    """Return the keys so that only the holder of `seal_key`'s private half reads them."""
    return SealedKeys(
        seal_key=seal_key,
        keys=tuple(
            SealedKey(entity=one.entity, box=base64.b64encode(seal.seal(seal_key, one.key.encode())).decode())
            for one in identities
        ),
    )


def open_keys(seal_private: str, sealed: SealedKeys) -> dict[str, Identity]:
    """Return the identities by entity; Refused if they were sealed for another key, MalformedData if they are none."""
    found = {}
    for one in sealed.keys:
        try:
            box = base64.b64decode(one.box, validate=True)
        except ValueError as error:
            raise MalformedData(f"the sealed key of {one.entity} is not base64") from error
        key = seal.open_sealed(seal_private, box).decode(errors="replace")
        if not is_key(key):
            raise MalformedData(f"what was sealed as the key of {one.entity} is none")
        found[one.entity] = Identity(entity=one.entity, key=key)
    return found
