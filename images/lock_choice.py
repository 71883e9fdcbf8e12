"""Which lock a build goes by: the committed one, or where that cannot be had any more one of this machine's own."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from images import lock
from images.lock import Lock
from images.mirror import Mirror
from images.packages import Packages
from images.recipe import Recipe
from images.resolve import Apt
from larva import output
from larva.errors import Conflict, NotFound, ProgramFailed, TimedOut, Unavailable

RENEW = "run `larva image lock`, or build with `--lock auto`, which resolves anew for this machine only"


class Mode(StrEnum):
    """What to do when the committed lock does not serve."""

    STRICT = "strict"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A lock, and whether it is the committed one."""

    lock: Lock
    committed: bool


def choose(
    recipe: Recipe, mirror: Mirror, packages: Packages, own: Path, *, mode: Mode, made: Callable[[Lock], bool],
    log_file: Path, locks: Path = lock.LOCKS,
) -> Chosen:  # fmt: skip
    """Return the lock to build from; its packages are there, or what is built from them is.

    A lock of this machine's own stands for one committed lock, which is not asked of the mirror at every build: only
    once nothing is built of its stand-in, or it is another.

    Args:
        own: the directory for locks of this machine's own.
        made: whether the tree of a lock is built already, so that its packages are not needed.
        locks: the directory of the committed ones.

    Raises:
        NotFound, Conflict, Unavailable: `strict`, and the committed lock is missing, of another recipe, or has a
            package that the mirror does not give, or not in time.
    """
    committed = lock.committed(recipe, locks)
    file = own / f"{recipe.name}-{_stands_for(recipe, committed)}.lock"
    if mode is Mode.AUTO and file.is_file() and not _at_hand(committed, recipe, packages, made):
        found = lock.read(file)
        if made(found):
            output.note(f"! {recipe.name}: as built before, not from the committed lock")
            return Chosen(found, committed=False)
    try:
        found = lock.read(committed)
        _serve(found, recipe, mirror, packages, made, log_file)
        return Chosen(found, committed=True)
    except (NotFound, Conflict, Unavailable) as error:
        if mode is Mode.STRICT:
            raise
        output.note(f"! {recipe.name}: not from the committed lock: {error.message}")
    try:
        found = lock.read(file)
        _serve(found, recipe, mirror, packages, made, log_file)
    except (NotFound, Unavailable):
        output.note(f"! {recipe.name}: its packages are resolved anew, for this machine only")
        own.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=own, prefix=".resolve-") as scratch:
            apt = Apt(mirror, recipe.suite, Path(scratch))
            apt.update()
            found = apt.resolve(recipe)
        _serve(found, recipe, mirror, packages, made, log_file)
        lock.write(file, found)
    return Chosen(found, committed=False)


def _stands_for(recipe: Recipe, committed: Path) -> str:
    """Hash what a lock of this machine's own is a stand-in for, 20 hexadecimal digits."""
    content = committed.read_bytes() if committed.is_file() else b""
    return hashlib.sha256(lock.asked(recipe).encode() + content).hexdigest()[:20]


def _at_hand(committed: Path, recipe: Recipe, packages: Packages, made: Callable[[Lock], bool]) -> bool:
    """Whether the committed lock serves without a mirror."""
    if not committed.is_file():
        return False
    found = lock.read(committed)
    return found.is_for(recipe) and (made(found) or not packages.missing(found))


def _serve(
    found: Lock, recipe: Recipe, mirror: Mirror, packages: Packages, made: Callable[[Lock], bool], log_file: Path
) -> None:  # fmt: skip
    if not found.is_for(recipe):
        raise Conflict(f"the lock of {recipe.name} is not of the packages that its recipe asks for", hint=RENEW)
    if made(found):
        return
    try:
        packages.ensure(found, mirror, log_file)
    except (Unavailable, TimedOut, ProgramFailed) as error:
        raise Unavailable(error.message, hint=f"{RENEW}; the log: {log_file}") from error
