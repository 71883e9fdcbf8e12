"""Which lock a build goes by: the committed one, or where that cannot be had any more one of this machine's own."""

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
from larva.errors import Conflict, LarvaError, NotFound, Unavailable

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

    Args:
        own: the directory for locks of this machine's own.
        made: whether the tree of a lock is built already, so that its packages are not needed.
        locks: the directory of the committed ones.

    Raises:
        NotFound, Conflict, Unavailable: `strict`, and the committed lock is missing, of another recipe, or has a
            package that the mirror does not give.
    """
    try:
        found = lock.read(lock.committed(recipe, locks))
        _serve(found, recipe, mirror, packages, made, log_file)
        return Chosen(found, committed=True)
    except (NotFound, Conflict, Unavailable) as error:
        if mode is Mode.STRICT:
            raise
        output.note(f"! {recipe.name}: not from the committed lock: {error.message}")
    file = own / f"{recipe.name}-{lock.asked(recipe)}.lock"
    try:
        found = lock.read(file)
        _serve(found, recipe, mirror, packages, made, log_file)
    except LarvaError:
        output.note(f"! {recipe.name}: its packages are resolved anew, for this machine only")
        own.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=own, prefix=".resolve-") as scratch:
            apt = Apt(mirror, recipe.suite, Path(scratch))
            apt.update()
            found = apt.resolve(recipe)
        _serve(found, recipe, mirror, packages, made, log_file)
        lock.write(file, found)
    return Chosen(found, committed=False)


def _serve(
    found: Lock, recipe: Recipe, mirror: Mirror, packages: Packages, made: Callable[[Lock], bool], log_file: Path
) -> None:  # fmt: skip
    if not found.is_for(recipe):
        raise Conflict(f"the lock of {recipe.name} is not of the packages that its recipe asks for", hint=RENEW)
    if made(found):
        return
    try:
        packages.ensure(found, mirror, log_file)
    except Unavailable as error:
        raise Unavailable(error.message, hint=f"{RENEW}; the log: {log_file}") from error
