"""Keys on their way through etcd: sealed to one host, opened by that host only."""

import base64
from collections.abc import Iterable
from dataclasses import replace

from cbstorage.ceph.cephx import Identity, fingerprint, is_key
from cbstorage.model import SealedKey, SealedKeys
from cladnet import seal
from larva.errors import MalformedData


def seal_keys(seal_key: str, identities: Iterable[Identity]) -> SealedKeys:
    """Return the keys so that only the holder of `seal_key`'s private half reads them."""
    return SealedKeys(seal_key=seal_key, keys=tuple(seal_one(seal_key, one) for one in identities))


def seal_one(seal_key: str, identity: Identity) -> SealedKey:
    """Return one key so that only the holder of `seal_key`'s private half reads it."""
    box = base64.b64encode(seal.seal(seal_key, identity.key.encode())).decode()
    return SealedKey(entity=identity.entity, box=box, fingerprint=fingerprint(identity.key))


def with_identity(sealed: SealedKeys, present: Identity | None, following: Identity | None, entity: str) -> SealedKeys:
    """Return the keys with another one of `entity`; the others stay as they are.

    Args:
        present: its key; None leaves what is there.
        following: the key that follows it, if any.
    """
    keys, after = list(sealed.keys), [one for one in sealed.next if one.entity != entity]
    if present is not None:
        new = seal_one(sealed.seal_key, present)
        at = next((number for number, one in enumerate(keys) if one.entity == entity), len(keys))
        keys[at : at + 1] = [new]
    if following is not None:
        after.append(seal_one(sealed.seal_key, following))
    return replace(sealed, keys=tuple(keys), next=tuple(after))


def open_keys(seal_private: str, sealed: SealedKeys) -> dict[str, Identity]:
    """Return the identities by entity; Refused if they were sealed for another key, MalformedData if they are none."""
    return _opened(seal_private, sealed.keys)


def open_next(seal_private: str, sealed: SealedKeys) -> dict[str, Identity]:
    """Return the keys that follow, by entity; errors as open_keys()."""
    return _opened(seal_private, sealed.next)


def open_newest(seal_private: str, sealed: SealedKeys) -> dict[str, Identity]:
    """Return each identity with the key that follows, where there is one; errors as open_keys()."""
    return open_keys(seal_private, sealed) | open_next(seal_private, sealed)


def _opened(seal_private: str, keys: Iterable[SealedKey]) -> dict[str, Identity]:
    found = {}
    for one in keys:
        try:
            box = base64.b64decode(one.box, validate=True)
        except ValueError as error:
            raise MalformedData(f"the sealed key of {one.entity} is not base64") from error
        key = seal.open_sealed(seal_private, box).decode(errors="replace")
        if not is_key(key):
            raise MalformedData(f"what was sealed as the key of {one.entity} is none")
        found[one.entity] = Identity(entity=one.entity, key=key)
    return found
