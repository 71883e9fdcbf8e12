"""Storage's check of this host, found by `larva doctor`: mounts that do not answer, daemons that do not run."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cbstorage import keys
from cbstorage.host import local
from cbstorage.model import HostDaemons, MountPhase, MountState
from cbstorage.mounting import clients
from cbstorage.mounting.mount_probe import Answer, MountProbe
from cbstorage.mounting.mounts import Known
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import Role
from larva import codec, settings
from larva.checks import Finding, Severity
from larva.errors import LarvaError, MalformedData, NotFound

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountCondition:
    """One mount that this host keeps, as it is now."""

    group: str
    volume: str
    path: str
    mounted: bool
    answer: Answer | None
    """None where it is not mounted."""
    words: str = ""
    """What it said, or what the storage agent last said of it."""


def check() -> tuple[Finding, ...]:
    """Return what is wrong with this host's storage; nothing on a host without any."""
    try:
        member = Member.load()
    except NotFound:
        return ()  # the network's check says so
    reports, daemons = _reported(member)
    encrypt = tuple(map(str, member.storage_devices)) if member.storage_encrypt else ()
    return tuple(diagnose(_mounts(reports), reports, daemons, encrypt))


def diagnose(
    mounts: Sequence[MountCondition], reports: Mapping[tuple[str, str], MountState], daemons: Sequence[HostDaemons],
    encrypt: Sequence[str] = (),
) -> Iterator[Finding]:  # fmt: skip
    """Findings from what was read.

    Args:
        reports: the storage agent's own word, by CLADNet and volume; none while etcd is away.
        encrypt: devices on which join.toml wants encrypted OSDs.
    """
    why = "`journalctl -u larva-storage -n 50` says more; `larva storage status` shows whether the cluster is up"
    for mount in mounts:
        if not mount.mounted:
            what = f"it is not mounted at {mount.path}"
        elif mount.answer is not Answer.ALIVE:
            what = f"{mount.path} does not answer"
        else:
            continue
        yield _problem(f"volume {mount.volume}", f"{what}: {mount.words}" if mount.words else what, why)
    kept = {(mount.group, mount.volume) for mount in mounts}
    for key, report in reports.items():
        if report.phase is MountPhase.FAILED and key not in kept:
            yield _problem(f"volume {report.volume}", report.problem or f"it cannot be mounted at {report.path}", why)
    for each in daemons:
        if each.problem:
            yield _problem("storage", each.problem, "`journalctl -u larva-storage -n 50` says more")
        for daemon in each.daemons:
            if not daemon.running:
                unit = local.unit(daemon.kind, daemon.id)
                yield _problem("storage", f"{daemon.kind} {daemon.id} does not run", f"`journalctl -u {unit}` says why")
            if daemon.device in encrypt and not daemon.encrypted:
                yield _problem(
                    "storage", f"osd.{daemon.id} on {daemon.device} is not encrypted, as join.toml wants it",
                    f"it was made before that; `larva storage osd replace {daemon.id} ANOTHER-DEVICE --encrypt`",
                )  # fmt: skip


def _reported(member: Member) -> tuple[dict[tuple[str, str], MountState], list[HostDaemons]]:
    """What this host's storage agent told etcd; nothing while it is away, which the network's check says."""
    mounts: dict[tuple[str, str], MountState] = {}
    daemons = []
    try:
        with Store.of_this_host() as store:
            for group in _groups(member):
                for item in store.list(keys.mount_states_on(group, member.host), MountState).items:
                    mounts[group, item.value.volume] = item.value
                if Role.STORAGE not in member.roles:  # etcd would refuse it
                    continue
                found = store.get(keys.daemons(group, member.host), HostDaemons)
                if found is not None:
                    daemons.append(found.value)
    except LarvaError as error:
        log.debug("going on without what the storage agent told: %s", error.message)
    return mounts, daemons


def _groups(member: Member) -> tuple[str, ...]:
    path = settings.state_directory() / "groups.json"
    try:
        return tuple(codec.decode(path.read_bytes(), dict[str, int], source=str(path)))
    except (OSError, MalformedData):
        return member.groups


def _mounts(reports: Mapping[tuple[str, str], MountState]) -> list[MountCondition]:
    """The mounts that this host remembers, each asked; a child process asks, so that a dead one holds nobody."""
    found, probe = [], MountProbe()
    for record in sorted((settings.state_directory() / "storage" / "mount").glob("*/*/mount.json")):
        known = codec.decode(record.read_bytes(), Known, source=str(record)).specification
        group, path = record.parent.parent.name, Path(known.path)
        mounted = clients.mounted_at(path) is not None
        answer, words = probe.ask(path) if mounted else (None, "")
        report = reports.get((group, known.volume))
        found.append(
            MountCondition(
                group=group, volume=known.volume, path=known.path, mounted=mounted, answer=answer,
                words=words or (report.problem if report is not None else ""),
            )
        )  # fmt: skip
    return found


def _problem(about: str, what: str, do: str) -> Finding:
    return Finding(severity=Severity.PROBLEM, about=about, what=what, do=do)
