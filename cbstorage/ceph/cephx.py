"""Cephx keys and keyring files: made here, so that a key is never on a command line or in a program's output."""

import base64
import hashlib
import re
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from larva.errors import MalformedData

_AES = 1
"""CEPH_CRYPTO_AES, the only key type of Ceph 18 (src/include/ceph_fs.h)."""
_SECRET_BYTES = 16
_KEY = re.compile(r"[A-Za-z0-9+/]{20,200}={0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A cephx identity with its key; the key stays out of its repr, and so out of logs."""

    entity: str
    key: str = field(repr=False)
    caps: Mapping[str, str] = field(default_factory=dict)
    """Capabilities by service, as `mon`: `allow r`; only monitors made by --mkfs read them from a file."""


def new_key(*, created_s: int) -> str:
    """Return a fresh key, base64.

    Its form is CryptoKey::encode of Ceph's src/auth/Crypto.cc: type, time (seconds, nanoseconds), length, secret.

    Args:
        created_s: seconds since the epoch, kept in the key.
    """
    head = struct.pack("<HIIH", _AES, created_s & 0xFFFFFFFF, 0, _SECRET_BYTES)
    return base64.b64encode(head + secrets.token_bytes(_SECRET_BYTES)).decode()


def is_key(text: str) -> bool:
    """Whether a text has a key's form, so that it can be a line of a keyring and nothing more."""
    return _KEY.fullmatch(text) is not None


def made_at(key: str) -> datetime:
    """When a key was made, by the clock of whoever made it; MalformedData if it is none."""
    try:
        _, seconds, nanoseconds = struct.unpack_from("<HII", base64.b64decode(key, validate=True))
    except (ValueError, struct.error) as error:
        raise MalformedData("what should be a cephx key is none") from error
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=min(nanoseconds // 1000, 999_999))


def fingerprint(key: str) -> str:
    """What tells two keys apart and opens nothing: 32 hexadecimal digits of a hash of its 128 random bits."""
    return hashlib.sha256(b"larva cephx key\0" + key.encode()).hexdigest()[:32]


def key_in(text: str) -> str:
    """The first key in a keyring's text; empty without one."""
    found = (line.split("=", 1)[1].strip() for line in text.splitlines() if line.strip().startswith("key ="))
    return next(found, "")


def keyring(*identities: Identity) -> str:
    """Return the text of a keyring file."""
    lines = []
    for identity in identities:
        lines += [f"[{identity.entity}]", f"\tkey = {identity.key}"]
        lines += [f'\tcaps {service} = "{caps}"' for service, caps in sorted(identity.caps.items())]
    return "\n".join(lines) + "\n"


ADMIN = "client.admin"
MON = "mon."

ADMIN_CAPS: Mapping[str, str] = {"mon": "allow *", "osd": "allow *", "mds": "allow *", "mgr": "allow *"}
MON_CAPS: Mapping[str, str] = {"mon": "allow *"}
MGR_CAPS: Mapping[str, str] = {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"}
MDS_CAPS: Mapping[str, str] = {"mon": "allow profile mds", "osd": "allow rwx", "mds": "allow"}
STORAGE_HOST_CAPS: Mapping[str, str] = {
    "mon": "allow profile bootstrap-osd, allow profile bootstrap-mds, allow profile bootstrap-mgr, allow r"
}
"""What a storage host without a monitor needs: to make daemons, and to look. These profiles grant just that."""


def storage_host(host: str) -> str:
    """The identity of a storage host that runs no monitor."""
    return f"client.storage.{host}"


def copy_caps(*, file_system: str) -> dict[str, str]:
    """What a copier may do: write everywhere in one file system; its identity ends with its copy."""
    return {
        "mon": f"allow r fsname={file_system}",
        "mds": f"allow rw fsname={file_system}",
        "osd": f"allow rw tag cephfs data={file_system}",
    }


def volume_caps(
    *, file_system: str, path: str, data_pool: str, namespace: str, read_only: bool = False
) -> dict[str, str]:
    """What a host may do with one volume: see the map, use one directory, touch one RADOS namespace of one pool."""
    may = "r" if read_only else "rw"
    return {
        "mon": f"allow r fsname={file_system}",
        "mds": f"allow {may} fsname={file_system} path={path}",
        "osd": f"allow {may} pool={data_pool} namespace={namespace}",
    }
