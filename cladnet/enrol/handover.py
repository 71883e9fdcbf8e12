"""Handover: what one control node gives the next, the keys of both authorities, sealed to a key that it just made."""

import base64
import hmac
from dataclasses import dataclass, field
from pathlib import Path

from cladnet import seal
from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from larva import codec, files, settings
from larva.errors import MalformedData, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    """Both authorities, in PEM; whoever has them is a control node."""

    clients_certificate: str
    clients_key: str = field(repr=False)
    members_certificate: str
    members_key: str = field(repr=False)


def sealed_for(seal_key: str) -> str:
    """Return this control node's authorities so that only the holder of the private key reads them, in base64.

    Raises:
        MalformedData: that is no such key.
        NotFound: this is no control node.
    """
    clients, members = _directories()
    Authority.load(clients), Authority.load(members)
    keys = _Keys(
        clients_certificate=(clients / "ca.pem").read_text(),
        clients_key=(clients / "ca.key").read_text(),
        members_certificate=(members / "ca.pem").read_text(),
        members_key=(members / "ca.key").read_text(),
    )
    return base64.b64encode(seal.seal(seal_key, codec.encode(keys))).decode()


def is_kept() -> bool:
    """Whether this host has both authorities."""
    return all((directory / "ca.pem").exists() for directory in _directories())


def keep(sealed: str, seal_private: str, *, ca: str, source: str) -> None:
    """Open what was sealed for us and keep it, each key 0600 from its first byte and each certificate after its key.

    Args:
        ca: the fingerprint that was pinned: another authority's key is not taken.
        source: for the errors.

    Raises:
        MalformedData, Refused: it is not for us, or not what was meant; nothing was written then.
    """
    try:
        box = base64.b64decode(sealed, validate=True)
    except ValueError as error:
        raise MalformedData(f"{source}: the sealed keys are no base64") from error
    keys = codec.decode(seal.open_sealed(seal_private, box), _Keys, source=source)
    if not hmac.compare_digest(authority.fingerprint_of(keys.clients_certificate, source=source), ca):
        raise Refused(f"{source}: the sealed keys are of another CA than the one that was pinned")
    pairs = ((keys.clients_certificate, keys.clients_key), (keys.members_certificate, keys.members_key))
    for certificate, key in pairs:
        authority.require_pair(certificate, key, source=source)
    for directory, (certificate, key) in zip(_directories(), pairs, strict=True):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write_if_changed(directory / "ca.key", key, mode=files.SECRET)
        files.write_if_changed(directory / "ca.pem", certificate)


def _directories() -> tuple[Path, Path]:
    clients = settings.state_directory() / "ca"
    return clients, clients / "members"
