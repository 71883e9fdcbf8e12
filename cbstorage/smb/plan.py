"""What a gateway should offer, from what is wanted and what is mounted: pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cbstorage.model import MountSpecification
from cbstorage.smb.configuration import Share
from cbstorage.smb.model import SmbShare


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What one CLADNet has on this gateway; on disk, so that a boot needs no etcd."""

    shares: tuple[Share, ...] = ()
    users: tuple[tuple[str, str], ...] = ()
    """Each with what marks its password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What should be there, and what is wanted and cannot be."""

    kept: Mapping[str, Kept]
    problems: tuple[str, ...]


def plan(
    group: str,
    kept: Mapping[str, Kept],
    *,
    shares: Mapping[str, SmbShare],
    mounts: Mapping[str, MountSpecification],
    mounted: Collection[str],
    users: Mapping[str, str],
) -> Plan:
    """Return what this CLADNet should have on the gateway, beside what the others have.

    Args:
        kept: by CLADNet, this one's old state included.
        mounts: wanted on this host, by volume.
        mounted: paths on which a volume is mounted now.
        users: by name, with what marks their passwords; those whose password can be read.
    """
    others = {name: one for name, one in kept.items() if name != group}
    taken_names = {share.name for one in others.values() for share in one.shares}
    taken_users = {user for one in others.values() for user, _ in one.users}
    problems: list[str] = []
    mine = {}
    for user, mark in sorted(users.items()):
        if user in taken_users:
            problems.append(f"user {user} is another CLADNet's on this gateway: choose another name")
        else:
            mine[user] = mark
    offered = []
    for name, share in sorted(shares.items()):
        mount = mounts.get(name)
        missing = sorted({*share.writers, *share.readers} - mine.keys())
        if missing:
            problems.append(f"{name}: no password is set here for {', '.join(missing)}: `larva smb password USER`")
        if name in taken_names:
            problems.append(f"{name}: another CLADNet shares a volume of that name on this gateway")
        elif mount is None or mount.volume_id != share.volume_id:
            problems.append(f"{name}: the volume is not to be mounted on this host: `larva volume mount {name}`")
        elif mount.path not in mounted:
            problems.append(f"{name}: the volume is not mounted at {mount.path} yet")
        elif writers := [user for user in share.writers if user in mine]:
            readers = tuple(user for user in share.readers if user in mine and user not in writers)
            offered.append(Share(name=name, path=mount.path, writers=tuple(writers), readers=readers))
        elif readers := tuple(user for user in share.readers if user in mine):
            offered.append(Share(name=name, path=mount.path, writers=(), readers=readers))
    new = Kept(shares=tuple(offered), users=tuple(sorted(mine.items())))
    return Plan(kept=others if new == Kept() else {**others, group: new}, problems=tuple(problems))


def merged(kept: Mapping[str, Kept]) -> tuple[Share, ...]:
    """Every CLADNet's shares; of two of one name the first CLADNet's."""
    found: dict[str, Share] = {}
    for _, one in sorted(kept.items()):
        for share in one.shares:
            found.setdefault(share.name, share)
    return tuple(found.values())


def narrowed(old: Sequence[Share], new: Sequence[Share]) -> tuple[str, ...]:
    """The shares on which somebody has a session that is allowed no more, or on another path."""
    now = {share.name: share for share in new}
    return tuple(
        share.name
        for share in old
        if (after := now.get(share.name)) is None
        or after.path != share.path
        or not set(share.writers) <= set(after.writers)
        or not set(share.readers) <= {*after.readers, *after.writers}
    )
