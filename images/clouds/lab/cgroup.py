"""Processes that outlive their creator, kept in a cgroup of their own.

Membership in a cgroup is inherited by every child and cannot be confused with that of a recycled process id. A process
enters before it does anything else, so whoever removes the cgroup finds it, whenever its creator was killed.
"""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from larva import process
from larva.errors import HostUnfit, TimedOut

KILL_TIMEOUT_S = 20.0
_POLL_S = 0.01

# The shell enters the cgroup, so what it starts is born there; where the cgroup is gone, nothing is started.
_SPAWN = 'group=$1 log=$2; shift 2; echo 0 >"$group/cgroup.procs" || exit 1; setsid "$@" </dev/null >>"$log" 2>&1 &'


def hierarchy(mountinfo: Path = Path("/proc/self/mountinfo")) -> Path:
    """Return where the unified hierarchy (cgroup2) is mounted.

    Raises:
        HostUnfit: it is mounted nowhere.
    """
    for line in mountinfo.read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4])
    raise HostUnfit(
        "no unified cgroup hierarchy is mounted",
        hint="mount it: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
    )


def spawn(argv: Sequence[str | Path], *, group: Path, log_file: Path) -> None:
    """Run a program detached, in a session of its own, inside the cgroup `group`; its outputs go to `log_file`."""
    process.run(["/bin/sh", "-c", _SPAWN, "sh", group, log_file, *argv], timeout=20)


def entering(group: Path) -> list[str]:
    """Return the words that, put before a command, make it run inside the cgroup."""
    return ["/bin/sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', str(group)]


def processes(group: Path) -> tuple[int, ...]:
    """Return the ids of all living processes in the cgroup and those below it; none when it is not there."""
    found: list[int] = []
    for directory, _, _ in os.walk(group):
        with contextlib.suppress(OSError):
            found += [int(line) for line in (Path(directory) / "cgroup.procs").read_text().split()]
    return tuple(pid for pid in found if pid > 0)


def populated(group: Path) -> bool:
    """Whether any process lives in the cgroup or below it."""
    try:
        return "populated 1" in (group / "cgroup.events").read_text()
    except OSError:
        return False


def wait_empty(group: Path, *, timeout: float) -> bool:
    """Wait until no process lives in the cgroup; return whether that came true within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while populated(group):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def kill(group: Path, *, timeout: float = KILL_TIMEOUT_S) -> None:
    """Kill every process of the cgroup and those below it, at once, and wait until they are gone.

    Raises:
        TimedOut: some are still there after `timeout` seconds (in an uninterruptible call).
    """
    if not populated(group):
        return
    with contextlib.suppress(OSError):  # removed meanwhile
        (group / "cgroup.kill").write_text("1")
    if not wait_empty(group, timeout=timeout):
        raise TimedOut(
            f"processes {', '.join(map(str, processes(group)))} do not end", hint="see what they wait for with ps -l"
        )


def remove(group: Path) -> None:
    """Kill what lives in the cgroup and remove it with all below it; nothing happens when it is not there."""
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while group.is_dir():
        kill(group)
        try:
            for directory, _, _ in os.walk(group, topdown=False):
                Path(directory).rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:  # a process entered between the two, or dead ones still hold it
            if time.monotonic() > deadline:
                raise TimedOut(f"the cgroup {group} cannot be removed: {error.strerror}") from error
            time.sleep(_POLL_S)
