"""Content-addressed stages: an unchanged input rebuilds nothing, a failed or killed build leaves nothing half made."""

import contextlib
import errno
import fcntl
import hashlib
import os
import random
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from larva import codec, files, output
from larva.errors import HostUnfit, TimedOut

KEPT = 3
"""Entries of a family kept by `prune`, the most recently used first."""
LOCK_TIMEOUT_S = 3600.0
RECORD = "stage.json"
LEASES = "leases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of the pipeline.

    Args:
        name: the directory below `stages/`.
        family: what prune counts together; usually the profile.
        inputs: everything that the result depends on, as words; the id is their hash.
        needs_mib: free disk space that making it takes, MiB.
        make: fills the directory it is given; what its programs say goes to the file given second.
    """

    name: str
    family: str
    inputs: Mapping[str, str]
    needs_mib: int
    make: Callable[[Path, Path], None]

    @property
    def id(self) -> str:
        """Hash of the name and all inputs, 20 hexadecimal digits."""
        document = codec.encode({"name": self.name, "inputs": dict(sorted(self.inputs.items()))})
        return hashlib.sha256(document).hexdigest()[:20]

    @property
    def title(self) -> str:
        """What people read while it is made."""
        return self.name if not self.family else f"{self.name} ({self.family})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known about a finished entry."""

    name: str
    family: str
    id: str
    seconds: float
    made_at: datetime
    inputs: dict[str, str]


class Cache:
    """The stages under one directory; an entry in use by this process cannot be pruned by another."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._held: dict[Path, int] = {}

    def path(self, stage: Stage) -> Path:
        """Return where the stage's entry is or will be."""
        return self.directory / stage.name / stage.id

    def has(self, stage: Stage) -> bool:
        """Whether the stage is made already."""
        return (self.path(stage) / RECORD).is_file()

    def ensure(self, stage: Stage) -> Path:
        """Return the stage's entry, made now if it is not there; nothing prunes it while this process lives.

        Raises:
            HostUnfit: not enough disk space.
            TimedOut: another build held the same stage for too long.
        """
        entry = self.path(stage)
        entry.parent.mkdir(parents=True, exist_ok=True)
        while entry not in self._held:
            descriptor = _open_lock(entry)
            try:
                if _share_or_own(descriptor, stage, made=lambda: self.has(stage)):
                    output.note(f"· {stage.title}: unchanged")
                else:
                    remove_stale(entry.parent, mine=entry)
                    self._make(stage, entry)
                    # flock(2): a conversion lets go for a moment, in which another build may prune what is new.
                    fcntl.flock(descriptor, fcntl.LOCK_SH)
                if self.has(stage):
                    os.utime(entry)
                    self._held[entry] = descriptor
            finally:
                if entry not in self._held:
                    os.close(descriptor)
        return entry

    def _make(self, stage: Stage, entry: Path) -> None:
        if entry.exists():  # without its record: not made by this code
            shutil.rmtree(entry)
        require_space(entry.parent, stage.needs_mib)
        log_file = log_of(entry)
        log_file.unlink(missing_ok=True)
        started = time.monotonic()
        try:
            with output.step(stage.title), files.whole_directory(entry) as temporary:
                stage.make(temporary, log_file)
                record = Record(
                    name=stage.name, family=stage.family, id=stage.id, seconds=round(time.monotonic() - started, 1),
                    made_at=datetime.now(UTC), inputs=dict(stage.inputs),
                )  # fmt: skip
                files.write_whole(temporary / RECORD, codec.encode(record) + b"\n")
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise _no_space(entry.parent, stage.needs_mib) from error
            raise

    def records(self) -> list[Record]:
        """Return what the cache holds, the most recently used first; another build may prune it meanwhile."""
        found: list[tuple[float, Record]] = []
        for file in self.directory.glob(f"*/*/{RECORD}"):
            with contextlib.suppress(FileNotFoundError):
                found.append((file.parent.stat().st_mtime, codec.decode(file.read_bytes(), Record, source=str(file))))
        return [record for _, record in sorted(found, key=lambda pair: -pair[0])]

    def prune(self, *, keep: int = KEPT) -> list[Path]:
        """Remove all but the `keep` most recently used entries of each family, none that is in use or leased."""
        seen: dict[tuple[str, str], int] = {}
        removed = []
        for record in self.records():
            family = (record.name, record.family)
            seen[family] = seen.get(family, 0) + 1
            entry = self.directory / record.name / record.id
            if seen[family] > keep and not leased(entry) and _remove(entry):
                removed.append(entry)
        return removed

    @contextlib.contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Give a directory for work that is no stage; left behind by a killed process, the next call removes it."""
        entry = self.directory / "scratch" / f"{name}-{os.getpid()}"
        entry.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(entry.parent)
        temporary = entry.with_name(f".{entry.name}.{secrets.token_hex(4)}")
        with _lock_now(entry):
            temporary.mkdir()
            try:
                yield temporary
            finally:
                shutil.rmtree(temporary)

    def close(self) -> None:
        """Let go of every entry in use."""
        while self._held:
            os.close(self._held.popitem()[1])


def log_of(entry: Path) -> Path:
    """Return the log of the programs that made an entry: one a stage's id, so that builds at once cannot mix theirs."""
    return entry.with_name(f"{entry.name}.log")


def leased(entry: Path) -> bool:
    """Whether a lab that is up uses the entry: a file in its `leases/`."""
    with contextlib.suppress(FileNotFoundError):
        return any((entry / LEASES).iterdir())
    return False


def remove_stale(directory: Path, *, mine: Path | None = None) -> None:
    """Remove temporaries of builds that were killed; those of a running build are locked and stay.

    Args:
        mine: the entry whose lock the caller holds.
    """
    for temporary in directory.glob(".*.*"):
        entry = directory / temporary.name[1:].rpartition(".")[0]
        if not temporary.is_dir():
            continue
        if entry == mine:
            shutil.rmtree(temporary)
            continue
        with _lock_now(entry) as locked:
            if locked:
                shutil.rmtree(temporary)


def require_space(directory: Path, needs_mib: int) -> None:
    """Raise HostUnfit unless `needs_mib` MiB are free at `directory`."""
    if shutil.disk_usage(directory).free < needs_mib << 20:
        raise _no_space(directory, needs_mib)


def digest(paths: Iterable[Path]) -> str:
    """Hash names and contents of files, 20 hexadecimal digits."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:20]


def _no_space(directory: Path, needs_mib: int) -> HostUnfit:
    free = shutil.disk_usage(directory).free >> 20
    return HostUnfit(
        f"this step takes {needs_mib} MiB of disk, and {free} MiB are free at {directory}",
        hint="free some space, run `larva image prune`, or point LARVA_CACHE to a larger disk",
    )


def _open_lock(entry: Path) -> int:
    return os.open(entry.with_name(f"{entry.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _share_or_own(descriptor: int, stage: Stage, *, made: Callable[[], bool]) -> bool:
    """Wait until the entry is made (True, lock shared) or this process alone may make it (False, lock exclusive)."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    told = False
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if made():
                return True
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not made():
                return False
            continue
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # two sharers that both want to own must not block each other
        if not told:
            output.note(f"… {stage.title}: another build is making it, waiting")
            told = True
        if time.monotonic() > deadline:
            raise TimedOut(
                f"another build holds the stage {stage.title} for more than {LOCK_TIMEOUT_S:g} s",
                hint="see what it does, or stop it; its lock goes with it",
            )
        time.sleep(random.uniform(0.1, 0.4))  # noqa: S311 - spreads competitors, hides nothing


@contextlib.contextmanager
def _lock_now(entry: Path) -> Iterator[bool]:
    """Give whether the entry's lock could be taken at once; let go of it at the end."""
    descriptor = _open_lock(entry)
    try:
        locked = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            locked = False
        yield locked
    finally:
        os.close(descriptor)


def _remove(entry: Path) -> bool:
    with _lock_now(entry) as locked:
        if locked and entry.exists() and not leased(entry):  # another pruner may have been here first
            shutil.rmtree(entry)
            for left in entry.parent.glob(f"{entry.name}.*"):
                if left.suffix != ".lock":
                    left.unlink()
        return locked
