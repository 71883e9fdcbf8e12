"""A volume's content is made the same as a snapshot: a process of its own, `python -m cbstorage.leading.copier`.

It mounts the file system by ceph-fuse where nobody else sees it, and ends with whoever started it: when its input
closes. It says how far it is, a line of JSON at a time, and that it is done only when all is on the OSDs.
"""

import ctypes
import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cbstorage.host import local
from cbstorage.leading.copying import Copier, Progress
from cbstorage.model import FILE_SYSTEM
from cbstorage.mounting import clients
from larva import codec, process
from larva.errors import LarvaError, ProgramFailed, TimedOut

MOUNT_S = 60
FLUSH_S = 600
"""What was written last may wait for as long as this until the OSDs have it."""
REPORT_S = 1.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOrder:
    """What to copy; paths are the file system's own."""

    entity: str
    keyring: Path
    source: str
    target: str
    trust_times: bool
    before: str = ""
    """A snapshot that the target held whole before, whose files need not be read again where they are the same."""
    before_at: datetime | None = None
    """When that was asked for, where hosts with clocks of their own write to what it is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """How far a copy is."""

    files: int
    bytes: int
    done: bool = False
    problem: str = ""


def command() -> list[str]:
    """What starts one: in a mount namespace of its own, so that no mount outlives it."""
    return ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "cbstorage.leading.copier"]


def run(order: CopyOrder, tell: Callable[[CopyReport], None]) -> None:
    """Carry out an order.

    Raises:
        ProgramFailed, TimedOut: the file system could not be mounted, or did not take what was written.
        OSError: what could not be copied.
    """
    with tempfile.TemporaryDirectory(prefix="larva-copy-") as directory:
        mount = Path(directory) / "fs"
        mount.mkdir()
        client = subprocess.Popen(
            [
                "ceph-fuse", "-f", "--conf", local.CONFIGURATION, "--name", order.entity, "--keyring", order.keyring,
                "--client_fs", FILE_SYSTEM, "-r", "/", "--client_acl_type=posix_acl",
                "--fuse_default_permissions=false", mount,
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_end_with_parent,
        )  # fmt: skip
        _clients.append(client)
        try:
            _wait_mounted(client, mount)
            told = time.monotonic()
            at = order.before_at
            copier = Copier(
                trust_times=order.trust_times, before_at_ns=int(at.timestamp() * 1e9) if at is not None else None
            )

            def report(progress: Progress) -> None:
                nonlocal told
                if time.monotonic() - told >= REPORT_S:
                    told = time.monotonic()
                    tell(CopyReport(files=progress.files, bytes=progress.bytes))

            copier.report = report
            before = f"{mount}{order.before}" if order.before else None
            copier.copy(f"{mount}{order.source}", f"{mount}{order.target}", before)
            # Its client ends only when the OSDs have everything.
            process.run(["umount", mount], timeout=FLUSH_S)
            if client.wait(FLUSH_S) != 0:
                raise ProgramFailed("ceph-fuse did not end well: what was written last may be lost")
            tell(CopyReport(files=copier.progress.files, bytes=copier.progress.bytes, done=True))
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"what was written last is not on the OSDs after {FLUSH_S} s") from error
        finally:
            if client.poll() is None:
                process.run(["umount", "--lazy", mount], timeout=MOUNT_S, ok_codes=(0, 32))
                client.kill()
                client.wait()


def _wait_mounted(client: "subprocess.Popen[bytes]", mount: Path) -> None:
    deadline = time.monotonic() + MOUNT_S
    while clients.mounted_at(mount) is None:
        if client.poll() is not None:
            raise ProgramFailed("ceph-fuse ended before it mounted the file system")
        if time.monotonic() > deadline:
            raise TimedOut(f"the file system could not be mounted within {MOUNT_S} s")
        time.sleep(0.1)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_clients: list["subprocess.Popen[bytes]"] = []


def _end_with_input() -> None:
    """Whoever started this is gone when the other end of our input is.

    The client goes first: whoever waits for it can be ended by nothing else (the kernel's `request_wait_answer`).
    """
    # Not by a buffered reader: its lock, held here, would have the interpreter abort when the copy is done.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    for client in _clients:
        client.kill()
    os._exit(1)


def _tell(report: CopyReport) -> None:
    sys.stdout.buffer.write(codec.encode(report) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Read an order from the first line of the input, and carry it out."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    order = codec.decode(sys.stdin.buffer.readline(), CopyOrder, source="standard input")
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        run(order, _tell)
    except LarvaError as error:
        _tell(CopyReport(files=0, bytes=0, problem=error.message))
    except OSError as error:
        words = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        if error.errno == errno.EDQUOT:
            words += "; `larva volume resize` gives it room for what comes and what goes"
        _tell(CopyReport(files=0, bytes=0, problem=words))


if __name__ == "__main__":
    main()
