"""What is known about a lab: on disk before anything is made, so that any later process can remove all of it."""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from images.clouds.lab.qemu import Hypervisor
from images.clouds.lab.topology import Topology
from larva import codec, files, settings
from larva.errors import Conflict, InvalidInput, NotFound, TimedOut

LOCK_TIMEOUT_S = 120.0
_POLL_S = 0.02
_RUN_ID = re.compile(r"[a-z0-9]{1,12}")


class Phase(StrEnum):
    """How far a lab has come; what is found `creating` or `destroying` may be half there."""

    CREATING = "creating"
    UP = "up"
    DESTROYING = "destroying"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """A TCP port of this machine's loopback that leads to a port of a host."""

    host: str
    port: int
    listen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything a lab has made or is about to make; names of namespaces follow from the run id and the topology."""

    run_id: str
    created_at: datetime
    phase: Phase
    topology: Topology
    tree: Path
    data: Path
    """Disks and the machines' own layers."""
    cgroup: Path
    leases: tuple[Path, ...] = ()
    """The files that keep the tree, and the disk, from being pruned."""
    hypervisor: Hypervisor | None = None
    """What virtual machines run on; None in a lab without any."""
    rtt: bool = False
    cut: tuple[str, ...] = ()
    launched: tuple[str, ...] = ()
    forwards: tuple[Forward, ...] = ()


def labs_directory() -> Path:
    """Where the state of labs is; it does not survive a reboot, and neither do they."""
    return settings.RUN_DIRECTORY / "labs"


def check_run_id(run_id: str) -> str:
    """Return the run id if it can be part of every name; InvalidInput otherwise."""
    if not _RUN_ID.fullmatch(run_id):
        raise InvalidInput(f"run id {run_id!r}", hint="use 1 to 12 of a-z and 0-9")
    return run_id


class StateFile:
    """The state of one lab in `/run/larva/labs/<run id>/state.json`."""

    def __init__(self, run_id: str) -> None:
        self.run_id = check_run_id(run_id)
        self.directory = labs_directory() / run_id
        self.path = self.directory / "state.json"

    def load(self) -> State:
        """Read the state; NotFound without such a lab."""
        try:
            return codec.decode(self.path.read_bytes(), State, source=str(self.path))
        except FileNotFoundError as error:
            raise NotFound(
                f"there is no lab {self.run_id!r}", hint="`larva demo status` shows those there are"
            ) from error

    def save(self, state: State) -> None:
        """Write the state whole."""
        files.write_whole(self.path, codec.encode(state) + b"\n", mode=files.SECRET)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes and threads from changing the lab; the lock goes with the process that holds it.

        Raises:
            NotFound: the lab is gone.
            TimedOut: another one holds it for too long.
        """
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while (descriptor := self._try_lock()) is None:
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"another process works on the lab {self.run_id} for more than {LOCK_TIMEOUT_S:g} s",
                    hint="see with ps what it does; its lock goes with it",
                )
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def changing(self) -> Iterator[tuple[State, Callable[[State], None]]]:
        """Give the state of a lab that is up and the function that saves it, while nobody else changes the lab.

        Raises:
            NotFound: the lab is gone.
            Conflict: it is not up.
            TimedOut: another one holds it for too long.
        """
        with self.locked():
            state = self.load()
            if state.phase is not Phase.UP:
                raise Conflict(f"the lab {self.run_id} is {state.phase}", hint=f"`larva demo down --run {self.run_id}`")
            yield state, self.save

    def _try_lock(self) -> int | None:
        """Return the open lock; None while another has it, or when the lab it belonged to went meanwhile."""
        path = self.directory / "lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.SECRET)
        except FileNotFoundError as error:
            raise self._unknown() from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
        return None

    def _unknown(self) -> NotFound:
        return NotFound(f"there is no lab {self.run_id!r}", hint="`larva demo status` shows those there are")
