"""Further OSDs as desired state in etcd: devices that a host should have one on, besides those of its join file."""

import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from cbstorage import keys
from cbstorage.host.device import SMALLEST_BYTES
from cbstorage.model import DaemonKind, HostDaemons, OsdState
from cbstorage.osd_model import OsdAddition, digest
from cbstorage.wanted import cluster, monitor_plan, sizes
from cbstorage.wanted.cluster import ClusterView
from cladnet import network_hosts
from cladnet.etcd.store import Store
from larva.errors import Conflict, InvalidInput, NotFound, Refused, TimedOut

POLL_S = 0.5
FIRST_WORD_S = 30.0
"""A host that is up answers within its next look; a refusal is told even to who does not wait for the OSD."""

_PLAIN = re.compile(r"(/[A-Za-z0-9_:@+-][A-Za-z0-9._:@+-]{0,99}){2,12}")
_SYSTEM = ("bin", "boot", "etc", "lib", "lib32", "lib64", "proc", "root", "run", "sbin", "sys", "usr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """An addition, and the OSD that was made for it so far."""

    addition: OsdAddition
    osd: OsdState | None


def add(
    store: Store, host: str, device: str, *, size_bytes: int | None = None, destroy_data: bool = False,
    encrypt: bool = False, cladnet: str | None = None,
) -> OsdAddition:  # fmt: skip
    """Ask for an OSD on a device of a storage host; the host refuses a device that holds data.

    Args:
        device: absolute path of a block device, or of a file, which is made if it is not there.
        size_bytes: of that file.
        destroy_data: what is on it may go.
        encrypt: what the OSD writes is encrypted on the device.
        cladnet: id or name; the only one with a storage cluster without it.

    Raises:
        NotFound: no such storage cluster, or no such storage host.
        InvalidInput: this can be no device, or no size.
        Conflict: it carries an OSD.
    """
    check(device, size_bytes)
    found = cluster.find(store, cladnet)
    group = found.specification.group
    able = sorted(view.host for view in monitor_plan.able(network_hosts.views(store, group)))
    if host not in able:
        raise NotFound(f"no storage host is called {host}", hint=f"there are: {', '.join(able)}")
    if (osd := on_device(found, host, device)) is not None:
        raise Conflict(f"{device} of {host} carries osd.{osd}", hint="`larva storage osd list` shows what is where")
    addition = OsdAddition(
        group=group, host=host, device=device, size_bytes=size_bytes, destroy_data=destroy_data, encrypt=encrypt,
        asked=str(uuid.uuid4()), asked_at=datetime.now(UTC),
    )  # fmt: skip
    store.put(keys.osd_device(group, host, digest(device)), addition)
    return addition


def check(device: str, size_bytes: int | None) -> None:
    """Raise InvalidInput for what can be no device of an OSD, or no size of one."""
    if not _PLAIN.fullmatch(device) or len(device) > 400:
        raise InvalidInput(f"{device[:80]!r} is not a plain absolute path", hint="as /dev/vdb or /srv/osd.img")
    if PurePosixPath(device).parts[1] in _SYSTEM:
        raise InvalidInput(f"{device} belongs to the system", hint="name a block device, or a file elsewhere")
    if size_bytes is not None and size_bytes < SMALLEST_BYTES:
        raise InvalidInput(
            f"an OSD of {sizes.show(size_bytes)} cannot be", hint=f"{sizes.show(SMALLEST_BYTES)} is the least"
        )


def on_device(found: ClusterView, host: str, device: str) -> int | None:
    """The OSD on a device, as its host reports."""
    for daemon in next((one.daemons for one in found.hosts if one.host == host), ()):
        if daemon.kind is DaemonKind.OSD and daemon.device == device and daemon.id.isdecimal():
            return int(daemon.id)
    return None


def wait(store: Store, addition: OsdAddition, *, timeout_s: float) -> Added:
    """Wait until an added OSD is up; with no time, only for its host to refuse the device or begin.

    An addition that its host refuses is taken back, since nothing was done for it.

    Raises:
        Refused: the host says why.
        TimedOut: it is not up yet, or the host says nothing.
    """
    key = keys.osd_device(addition.group, addition.host, digest(addition.device))
    deadline = time.monotonic() + max(timeout_s, FIRST_WORD_S)
    while True:
        found = cluster.find(store, addition.group)
        report = next((one for one in found.hosts if one.host == addition.host), None)
        _raise_refusal(store, key, addition, report)
        osd = on_device(found, addition.host, addition.device)
        state = next((one for one in (found.state.osds if found.state else ()) if one.id == osd), None)
        if osd is not None and (timeout_s <= 0 or (state is not None and state.up)):
            return Added(addition=addition, osd=state)
        if time.monotonic() > deadline:
            words = f"{addition.host} says: {report.problem}" if report and report.problem else "it is being made"
            raise TimedOut(
                f"no OSD on {addition.device} of {addition.host} yet; {words}",
                hint="it goes on; larva storage osd list",
            )
        time.sleep(POLL_S)


def _raise_refusal(store: Store, key: str, addition: OsdAddition, report: HostDaemons | None) -> None:
    for problem in report.devices if report is not None else ():
        if problem.device == addition.device and problem.asked == addition.asked:
            current = store.get(key, OsdAddition)
            if current is not None and current.value.asked == addition.asked:
                store.delete(key, revision=current.revision)
            raise Refused(f"{addition.host}: {problem.words}")
