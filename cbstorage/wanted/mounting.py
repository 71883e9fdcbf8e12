"""Where volumes should be mounted, as desired state in etcd: on hosts by name, or on all that are and will be."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from cbstorage import keys, mirror_records, records
from cbstorage.model import MountSpecification, VolumePhase, VolumeSpecification
from cbstorage.mount_model import MountEverywhere
from cbstorage.mounting import mount_point
from cbstorage.share_model import VolumeShares, allowed
from cbstorage.wanted import members, volumes
from cladnet.etcd.store import Condition, Operation, Put, Store, Versioned
from cladnet.keys import is_segment
from larva.errors import Conflict, NotFound

There = Mapping[str, Sequence[tuple[str, MountSpecification]]]
"""By host: what it should mount, with the CLADNet of each; its directories are one tree all the same."""


def mount(
    store: Store, group: str, name: str, hosts: Sequence[str] | None, path: str, *, read_only: bool = False
) -> tuple[MountSpecification, ...]:
    """Ask for a volume to be mounted on hosts, and kept mounted; asking again changes nothing.

    Args:
        hosts: their names; None for every host of the CLADNet, those too that join later, or where the volume is kept
            for some hosts (`sharing`), for all of these, those too that it is shared with later.
        path: an absolute path, the same on each host; the host creates it, or refuses it when it is not empty.
        read_only: whether they may only read; their keys allow no more either. A host with which it is shared for
            reading only gets no more in any case. Of a mirror nobody gets more until it is promoted, and all do then.

    Returns:
        What it means for the hosts that are there now.

    Raises:
        NotFound: the volume or a host does not exist.
        InvalidInput: the path cannot be used, or too many hosts are named.
        Conflict: a host has this volume at another path or otherwise, or another volume at this path, in it or around
            it; or the volume is not shared with it.
    """
    place = mount_point.check(path)
    volume = records.volume(store, group, name)
    if volume is None:
        raise volumes.unknown(group, name)
    if volume.value.phase is VolumePhase.DELETING:
        raise Conflict(f"volume {name} is being deleted")
    wish = MountEverywhere(volume=name, volume_id=volume.value.id, path=place, read_only=read_only)
    known = members.hosts(store, group)
    there = _there(store)
    shares = records.shares_of(store, group).get(volume.value.id)
    if hosts is None:
        asked = tuple(wish.on(host) for host in sorted(known) if shares is None or shares.of(host) is not None)
        if shares is not None and not asked:
            raise _not_shared(name, sorted(known))
        for one in asked:
            _refuse_clash(group, one, there[one.host])
        _write(store, volume, [] if _is_there(store, group, wish) else [Put(keys.mount_everywhere(group, name), wish)])
        return _allowed(store, group, asked, shares)
    named = members.require(group, hosts, known, purpose="to mount on", otherwise="use --all")
    if shares is not None and (others := [host for host in named if shares.of(host) is None]):
        raise _not_shared(name, others)
    asked = tuple(wish.on(host) for host in named)
    for one in asked:
        _refuse_clash(group, one, there[one.host])
    missing = [one for one in asked if not any((whose, other) == (group, one) for whose, other in there[one.host])]
    _write(store, volume, [Put(keys.mount(group, one.host, name), one) for one in missing])
    return _allowed(store, group, asked, shares)


def _allowed(
    store: Store, group: str, asked: Sequence[MountSpecification], shares: VolumeShares | None
) -> tuple[MountSpecification, ...]:
    may = mirror_records.read_only({one.host: one for one in asked}, mirror_records.mirrors_of(store, group))
    return tuple(found for one in may.values() if (found := allowed(one, shares)) is not None)


def check_everywhere(store: Store, group: str, name: str, hosts: Collection[str]) -> None:
    """Refuse to give a volume that every host should have to hosts that have another at its place; Conflict then."""
    wish = records.mounts_everywhere(store, group).get(name)
    if wish is None:
        return
    there = _there(store)
    for host in sorted(hosts):
        _refuse_clash(group, wish.value.on(host), [(whose, one) for whose, one in there[host] if one.volume != name])


def unmount(store: Store, group: str, name: str, hosts: Sequence[str] | None = None) -> tuple[str, ...]:
    """Ask for a volume to be taken away from hosts, all of them with None; return those that had it.

    Raises:
        NotFound: no such volume, or a named host does not have it mounted.
        Conflict: every host should have it, so that none of them can be left out.
    """
    view = volumes.find(store, group, name)
    mounted = {mount.host for mount in view.mounts if not mount.leaving}
    wanted = sorted(mounted) if hosts is None else list(dict.fromkeys(hosts))
    if missing := [host for host in wanted if host not in mounted]:
        raise NotFound(
            f"volume {name} is not mounted on {', '.join(missing)}",
            hint=f"it is mounted on: {', '.join(sorted(mounted)) or 'no host'}",
        )
    if hosts is not None and view.everywhere:
        raise Conflict(
            f"volume {name} is mounted on every host of its CLADNet",
            hint=f"larva volume unmount {name} --all, then mount it where it should be with --on",
        )
    by_name = [item.key for (_, volume), item in records.mounts_of(store, group).items() if volume == name]
    if hosts is None:
        volumes.remove(store, [keys.mount_everywhere(group, name), *by_name])
    else:
        volumes.remove(store, [keys.mount(group, host, name) for host in wanted])
    return tuple(wanted)


def _not_shared(name: str, hosts: Sequence[str]) -> Conflict:
    return Conflict(
        f"volume {name} is not shared with {', '.join(hosts) or 'any host'}",
        hint=f"larva volume share {name} --with {hosts[0] if hosts else 'HOST'}, or `larva volume shares {name}`",
    )


def _write(store: Store, volume: Versioned[VolumeSpecification], wishes: Sequence[Put]) -> None:
    if not wishes:
        return
    # Writing the volume anew gives it another revision, so that a deletion that runs at the same time fails.
    conditions = [Condition(volume.key, volume.revision), *(Condition(wish.key, 0) for wish in wishes)]
    operations: list[Operation] = [Put(volume.key, volume.value), *wishes]
    if not store.transact(conditions, operations):
        raise Conflict("somebody else changed these mounts meanwhile", hint="look with `larva volume show`, then retry")


def _is_there(store: Store, group: str, wish: MountEverywhere) -> bool:
    """Whether every host should have it just so already; Conflict if otherwise."""
    found = records.mounts_everywhere(store, group).get(wish.volume)
    if found is not None and found.value != wish:
        raise Conflict(
            f"volume {wish.volume} is mounted on every host at {found.value.path} already",
            hint=f"larva volume unmount {wish.volume} --all first",
        )
    return found is not None


def _there(store: Store) -> There:
    found: dict[str, list[tuple[str, MountSpecification]]] = defaultdict(list)
    for item in store.list(keys.MOUNT, MountSpecification).items:
        found[item.value.host].append((item.key.removeprefix(keys.MOUNT).partition("/")[0], item.value))
    groups = {
        key.removeprefix(keys.MOUNT_EVERYWHERE).partition("/")[0] for key in store.revisions(keys.MOUNT_EVERYWHERE)
    }
    for group in filter(is_segment, sorted(groups)):
        wishes = [item.value for item in records.mounts_everywhere(store, group).values()]
        shares = records.shares_of(store, group) if wishes else {}
        for host in members.hosts(store, group) if wishes else ():
            found[host] += [
                (group, wish.on(host)) for wish in wishes if allowed(wish.on(host), shares.get(wish.volume_id))
            ]
    return found


def _refuse_clash(group: str, wish: MountSpecification, there: Sequence[tuple[str, MountSpecification]]) -> None:
    for whose, other in there:
        if (whose, other.volume) == (group, wish.volume):
            if other != wish:
                how = " for reading only" if other.read_only else ""
                raise Conflict(
                    f"{wish.host} has volume {wish.volume} at {other.path} already{how}", hint="unmount it there first"
                )
        elif mount_point.collide(other.path, wish.path):
            raise Conflict(f"{wish.host} has volume {other.volume} at {other.path}", hint="choose another path")
