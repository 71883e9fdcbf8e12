"""The values of SMB gateways that travel through etcd: shares, users and how a gateway stands."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from cbstorage.model import Name, VolumeId
from cladnet.trust.kinds import signed_by_ca

User = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9-]{0,22}[a-z0-9]\Z")]
"""An account: of Windows' characters those that are an account's name on Unix too, and need no quoting anywhere."""
Users = Annotated[tuple[User, ...], Meta(max_length=200)]


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class SmbShare:
    """A gateway should share a volume: `cb-storage/smb-share/{group}/{host}/{volume}`."""

    volume: Name
    volume_id: VolumeId
    host: Name
    writers: Users = ()
    readers: Users = ()
    mounted_for_it: bool = False
    """Nobody had the volume mounted there before: it goes when the share goes."""


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class SmbUser:
    """Somebody whom a gateway lets in: `cb-storage/smb-user/{group}/{host}/{user}`."""

    user: User
    host: Name
    seal_key: str
    """The gateway's, to which the password was sealed."""
    box: str
    """The sealed password, base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmbState:
    """How a gateway stands: `cb-storage/smb-state/{group}/{host}`, written by that host only."""

    host: Name
    serving: tuple[Name, ...] = ()
    """Volumes that can be reached."""
    problems: tuple[str, ...] = ()
    """What is wanted and cannot be, with the remedy."""
