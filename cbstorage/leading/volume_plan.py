"""What separates the volumes that are wanted from those that are: pure, so that every rule is read in one place."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cbstorage.model import (
    MountSpecification,
    MountState,
    SealedKeys,
    VolumePhase,
    VolumeSpecification,
    VolumeState,
)
from cbstorage.share_model import VolumeShares, allowed
from cbstorage.volume_model import CopyWish
from cladnet.etcd.store import Versioned


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """Everything etcd says of a group's volumes."""

    volumes: tuple[Versioned[VolumeSpecification], ...]
    states: Mapping[str, VolumeState]
    mounts: Mapping[tuple[str, str], MountSpecification]
    """By host and volume, as somebody asked for them; `shares` decides which of them may be."""
    reports: Mapping[tuple[str, str], MountState]
    handed_out: Mapping[tuple[str, str], Versioned[SealedKeys]]
    copies: Mapping[str, Versioned[CopyWish]] = field(default_factory=dict)
    """By the id of the volume that is filled."""
    shares: Mapping[str, VolumeShares] = field(default_factory=dict)
    """By the id of the volume that is kept for some hosts only."""
    dead: frozenset[tuple[str, str]] = frozenset()
    """Host and volume of the keys that were handed out and open nothing any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, in this order."""

    make: tuple[VolumeSpecification, ...]
    hand_out: tuple[MountSpecification, ...]
    take_back: tuple[tuple[str, str], ...]
    remove: tuple[Versioned[VolumeSpecification], ...]
    fill: tuple[VolumeSpecification, ...] = ()
    """What nobody has open, so that it may be written to."""


def plan(desired: Desired, seal_keys: Mapping[str, str], overdue: Collection[tuple[str, str]] = ()) -> Plan:
    """Return what separates desire from state.

    Args:
        seal_keys: of the hosts that are in the CLADNet; a host that left keeps no volume from being removed.
        overdue: host and volume of mounts whose hosts had their time to let go (`lingering`).
    """
    active = {item.value.name: item.value for item in desired.volumes if item.value.phase is VolumePhase.ACTIVE}
    wanted = _wanted(desired, seal_keys)
    left = lingering(desired, seal_keys) - frozenset(overdue) - _shut_out(desired)
    in_use = wanted.keys() | left
    filling = {name for name, volume in active.items() if volume.id in desired.copies}
    held = {
        pair
        for pair, given in desired.handed_out.items()
        if not _is_for_another(given, active.get(pair[1]), pair[0], wanted.get(pair), desired.shares)
    }
    return Plan(
        make=tuple(volume for volume in active.values() if not is_made(volume, desired.states.get(volume.name))),
        hand_out=tuple(
            mount
            for (host, name), mount in wanted.items()
            if name not in filling
            if (host, name) not in desired.handed_out
            or (
                (host, name) in held
                and (desired.handed_out[host, name].value.seal_key != seal_keys[host] or (host, name) in desired.dead)
            )
        ),
        take_back=tuple(
            pair for pair in desired.handed_out if pair not in in_use or pair not in held or pair[1] in filling
        ),
        remove=tuple(
            item
            for item in desired.volumes
            if item.value.phase is VolumePhase.DELETING
            and not any(name == item.value.name for _, name in in_use | desired.handed_out.keys())
        ),
        fill=tuple(
            active[name]
            for name in sorted(filling - {name for _, name in left | desired.handed_out.keys()})
            if is_made(active[name], desired.states.get(name))
        ),
    )


def lingering(desired: Desired, seal_keys: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """Host and volume of the mounts that nobody wants and that their hosts still report."""
    wanted = _wanted(desired, seal_keys)
    return frozenset(pair for pair in desired.reports if pair[0] in seal_keys and pair not in wanted)


def _wanted(desired: Desired, seal_keys: Mapping[str, str]) -> dict[tuple[str, str], MountSpecification]:
    ids = {item.value.name: item.value.id for item in desired.volumes if item.value.phase is VolumePhase.ACTIVE}
    return {
        (host, name): mount
        for (host, name), asked in desired.mounts.items()
        if host in seal_keys and ids.get(name) == asked.volume_id
        if (mount := allowed(asked, desired.shares.get(asked.volume_id))) is not None
    }


def _shut_out(desired: Desired) -> frozenset[tuple[str, str]]:
    """Host and volume of reported mounts of volumes that are not shared with the host: it is given no time."""
    ids = {item.value.name: item.value.id for item in desired.volumes}
    return frozenset(
        (host, name)
        for host, name in desired.reports
        if (shares := desired.shares.get(ids.get(name, ""))) is not None and shares.of(host) is None
    )


def is_made(volume: VolumeSpecification, state: VolumeState | None) -> bool:
    """Whether nothing is left to do for a volume that is wanted."""
    return state is not None and state.id == volume.id and state.ready and state.size_bytes == volume.size_bytes


def _is_for_another(
    given: Versioned[SealedKeys],
    volume: VolumeSpecification | None,
    host: str,
    wish: MountSpecification | None,
    shares: Mapping[str, VolumeShares],
) -> bool:
    """Whether a key opens an earlier volume of the name, or otherwise than is wanted: reading only, or writing too.

    It is taken back before another is given in its place.
    """
    if volume is None:
        return False
    kept = shares.get(volume.id)
    share = kept.of(host) if kept is not None else None
    if wish is not None:
        modes: tuple[bool, ...] = (wish.read_only,)
    else:
        modes = (True,) if share is not None and share.read_only else (False, True)
    return given.value.keys[0].entity not in {volume.entity(host, read_only=mode) for mode in modes}
