"""Whom a volume is kept for, as this travels through etcd, and what that leaves of a wish for a mount."""

from dataclasses import dataclass, replace
from typing import Annotated

from msgspec import Meta

from cbstorage.model import MountSpecification, Name, VolumeId
from cladnet.trust.kinds import signed_by_ca

MOST_SHARES = 1000
"""Hosts of one volume that are named: some 50 KB, where etcd takes 1.5 MB in one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one host may do with a volume."""

    host: Name
    read_only: bool = False


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeShares:
    """The hosts that a volume is kept for, and nobody else: `cb-storage/volume-shares/{group}/{volume id}`.

    A volume without it is for every host of its CLADNet. It goes by the volume's id: what is in the trash, or has
    another name when it comes back, is still kept for the same hosts.
    """

    group: Name
    volume_id: VolumeId
    shares: Annotated[tuple[Share, ...], Meta(max_length=MOST_SHARES)] = ()

    def of(self, host: str) -> Share | None:
        """What a host may do; None: nothing."""
        return next((share for share in self.shares if share.host == host), None)


def allowed(wish: MountSpecification, shares: VolumeShares | None) -> MountSpecification | None:
    """Return what a host may have of a mount that somebody wants: all of it, reading only, or nothing.

    Args:
        shares: of its volume; None where it is for every host.
    """
    if shares is None:
        return wish
    share = shares.of(wish.host)
    if share is None:
        return None
    return replace(wish, read_only=wish.read_only or share.read_only)


def common(one: VolumeShares, other: VolumeShares) -> VolumeShares:
    """Return what both leave to each host, as a record of the volume that `one` is of."""
    pairs = ((share, other.of(share.host)) for share in one.shares)
    both = [replace(share, read_only=share.read_only or same.read_only) for share, same in pairs if same is not None]
    return replace(one, shares=tuple(both))
