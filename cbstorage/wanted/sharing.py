"""Whom a volume is kept for, as desired state in etcd; the storage hosts take back the keys of all others."""

from collections.abc import Iterable, Sequence

from cbstorage import keys, records
from cbstorage.model import VolumeSpecification
from cbstorage.share_model import MOST_SHARES, Share, VolumeShares
from cbstorage.wanted import members, mounting, volumes
from cladnet.etcd.store import Condition, Delete, Operation, Put, Store, Versioned
from larva.errors import Conflict, InvalidInput, NotFound


def shares(store: Store, group: str, name: str) -> tuple[Share, ...] | None:
    """Return the hosts that a volume is kept for, by name; None when it is for every host. NotFound without it."""
    volume = records.volume(store, group, name)
    if volume is None:
        raise volumes.unknown(group, name)
    found = records.shares_of(store, group).get(volume.value.id)
    return found.shares if found is not None else None


def share(store: Store, group: str, name: str, hosts: Sequence[str], *, read_only: bool = False) -> VolumeShares:
    """Share a volume that is kept for some hosts with others too; asking again changes nothing.

    Args:
        hosts: hosts of its CLADNet. Those that have a share already get this one in its place.
        read_only: whether they may only read.

    Raises:
        NotFound: no such volume or host.
        InvalidInput: no host is named, or too many are.
        Conflict: the volume is for every host already or is being deleted, another volume is mounted where one of the
            hosts should have this one, or somebody else changed it meanwhile.
        MalformedData: who has shares cannot be read; `keep_for` writes it anew.
    """
    volume = volumes.active(store, group, name)
    current = store.get(keys.volume_shares(group, volume.value.id), VolumeShares)
    if current is None:
        raise Conflict(
            f"volume {name} is for every host of CLADNet {group} already",
            hint=f"to keep it for some, and take it from all others: larva volume share {name} --only --with HOST",
        )
    named = _named(store, group, hosts)
    new = {one.host: one for one in current.value.shares}
    new |= {host: Share(host=host, read_only=read_only) for host in named}
    return _keep(store, volume, current.revision, current.value, new.values())


def keep_for(store: Store, group: str, name: str, wanted: Sequence[Share]) -> VolumeShares:
    """Keep a volume for some hosts, and take it from all others.

    Raises:
        NotFound, InvalidInput, Conflict: as `share`; a host is named twice.
    """
    volume = volumes.active(store, group, name)
    if len({one.host for one in wanted}) != len(wanted):
        raise InvalidInput("a host is named twice", hint="it has one share: for reading only, or for writing too")
    if wanted:
        _named(store, group, [one.host for one in wanted])
    revision = _revision(store, volume.value)
    before = records.shares_of(store, group).get(volume.value.id)
    return _keep(store, volume, revision, before, wanted)


def unshare(store: Store, group: str, name: str, hosts: Sequence[str]) -> VolumeShares:
    """Take a volume from hosts: they have it mounted no longer, and their keys are good no more.

    Raises:
        NotFound: no such volume, or it is not shared with one of them.
        InvalidInput: no host is named.
        Conflict: the volume is for every host or is being deleted, or somebody else changed it meanwhile.
        MalformedData: who has shares cannot be read; `keep_for` writes it anew.
    """
    volume = volumes.active(store, group, name)
    current = store.get(keys.volume_shares(group, volume.value.id), VolumeShares)
    if current is None:
        raise Conflict(
            f"volume {name} is for every host of CLADNet {group}",
            hint=f"say whom it is for instead: larva volume share {name} --only --with HOST",
        )
    if not hosts:
        raise InvalidInput("no host to take it from", hint=f"larva volume shares {name}")
    if missing := [host for host in dict.fromkeys(hosts) if current.value.of(host) is None]:
        raise NotFound(
            f"volume {name} is not shared with {', '.join(missing)}",
            hint=f"it is shared with: {', '.join(one.host for one in current.value.shares) or 'no host'}",
        )
    left = [one for one in current.value.shares if one.host not in hosts]
    return _keep(store, volume, current.revision, current.value, left)


def open_to_all(store: Store, group: str, name: str) -> None:
    """Make a volume one for every host of its CLADNet, those too that join later; asking again changes nothing.

    Raises:
        NotFound: no such volume.
        Conflict: it is being deleted, another volume is mounted where a host should have this one, or somebody else
            changed it meanwhile.
    """
    volume = volumes.active(store, group, name)
    revision = _revision(store, volume.value)
    before = records.shares_of(store, group).get(volume.value.id)
    if before is None:
        return
    gained = {host for host in members.hosts(store, group) if before.of(host) is None}
    mounting.check_everywhere(store, group, name, gained)
    _write(store, volume, revision, [Delete(keys.volume_shares(group, volume.value.id))])


def wait_in_force(store: Store, group: str, name: str, *, timeout_s: float) -> None:
    """Wait until no host has a key that its share does not give it; TimedOut otherwise."""

    def look() -> tuple[None, bool, str]:
        volume = records.volume(store, group, name)
        if volume is None:
            raise volumes.unknown(group, name)
        found = records.shares_of(store, group).get(volume.value.id)
        behind = [
            host
            for (host, other), given in records.mount_keys_of(store, group).items()
            if other == name and found is not None
            if (one := found.of(host)) is None
            or (one.read_only and given.value.keys[0].entity != volume.value.entity(host, read_only=True))
        ]
        words = [f"{host}: the storage hosts have not taken its key back yet" for host in sorted(behind)]
        return None, not behind, "\n".join(words)

    volumes.wait(look, f"what volume {name} is shared with is not in force", timeout_s)


def _named(store: Store, group: str, hosts: Sequence[str]) -> list[str]:
    known = members.hosts(store, group)
    return members.require(group, hosts, known, purpose="to share with", otherwise="share it with the others after")


def _revision(store: Store, volume: VolumeSpecification) -> int:
    """Of what says whom a volume is kept for, whether it can be read or not; 0 without it."""
    return next((item.revision for item in store.raw(keys.volume_shares(volume.group, volume.id)).items), 0)


def _keep(
    store: Store,
    volume: Versioned[VolumeSpecification],
    revision: int,
    before: VolumeShares | None,
    wanted: Iterable[Share],
) -> VolumeShares:
    """Write whom a volume is kept for.

    Args:
        revision: of what stands there, 0 without it.
        before: what it says; None: the volume is for every host.
    """
    group, name = volume.value.group, volume.value.name
    new = VolumeShares(
        group=group, volume_id=volume.value.id, shares=tuple(sorted(wanted, key=lambda share: share.host))
    )
    if len(new.shares) > MOST_SHARES:
        raise InvalidInput(
            f"a volume cannot be shared with {len(new.shares)} hosts by name",
            hint=f"with {MOST_SHARES} at most; for every host: larva volume share {name} --all",
        )
    # Whoever has a share already is not asked: nothing keeps a volume from being taken from somebody.
    gained = {one.host for one in new.shares if before is not None and before.of(one.host) is None}
    mounting.check_everywhere(store, group, name, gained)
    lost = [
        item.key
        for (host, other), item in records.mounts_of(store, group).items()
        if other == name and new.of(host) is None
    ]
    if len(lost) > members.MOST_NAMED:
        raise Conflict(
            f"{len(lost)} hosts that volume {name} would be taken from should have it mounted",
            hint=f"larva volume unmount {name} first",
        )
    _write(store, volume, revision, [Put(keys.volume_shares(group, volume.value.id), new), *map(Delete, lost)])
    return new


def _write(
    store: Store, volume: Versioned[VolumeSpecification], revision: int, operations: Sequence[Operation]
) -> None:
    key = keys.volume_shares(volume.value.group, volume.value.id)
    # Writing the volume anew gives it another revision, so that a mount or a deletion that runs at the same time fails.
    conditions = [Condition(volume.key, volume.revision), Condition(key, revision)]
    if not store.transact(conditions, [Put(volume.key, volume.value), *operations]):
        raise Conflict(
            f"somebody else changed volume {volume.value.name} meanwhile",
            hint=f"look with `larva volume shares {volume.value.name}`, then retry",
        )
