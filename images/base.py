"""The base tree: Debian with the recipe's packages and nothing of ours but what their installation needs to know."""

import shutil
from pathlib import Path

from images import confine, layin
from images.lock import Lock
from images.mirror import Mirror
from images.packages import Packages
from images.recipe import Recipe
from images.stages import Stage, digest
from larva import process
from larva.errors import ProgramFailed

BASE_FILES = layin.LAID_IN / "base"
"""Laid in before the packages: what the initramfs is made of."""
SOURCES = Path("etc/apt/sources.list")
TIMEOUT_S = 1800.0


def stage(
    recipe: Recipe, lock: Lock, packages: Packages, mirror: Mirror, files: Path | None = BASE_FILES
) -> Stage:  # fmt: skip
    """Return the stage that makes `root/` of the locked packages, wherever they come from.

    Args:
        packages: where the files are kept; those that are missing are fetched from the mirror.
        files: laid in before the packages.
    """
    inputs = {
        "command": " ".join(mmdebstrap(recipe, None)),
        "lock": lock.digest,
        "epoch": str(recipe.epoch),
        "files": layin.read(files).digest if files else "",
        "code": digest([Path(__file__), Path(confine.__file__)]),
    }

    def make(directory: Path, log_file: Path) -> None:
        process.require_programs("mmdebstrap", "setpriv", "unshare", "dpkg-deb", "dpkg-query")
        packages.ensure(lock, mirror, log_file)
        root, repository = directory / "root", directory / "repository"
        source = packages.repository(lock, repository)
        confine.run(
            [*mmdebstrap(recipe, files), recipe.suite, root, source],
            timeout=TIMEOUT_S, network=False, env={"SOURCE_DATE_EPOCH": str(recipe.epoch)}, log_file=log_file,
        )  # fmt: skip
        shutil.rmtree(repository)
        (root / SOURCES).unlink()  # it names the repository
        require_locked(root, lock)

    return Stage(name="base", family=recipe.name, inputs=inputs, needs_mib=4096, make=make)


def require_locked(root: Path, lock: Lock) -> None:
    """Raise ProgramFailed unless the tree has exactly the locked packages."""
    listing = process.run(
        ["dpkg-query", f"--admindir={root / 'var/lib/dpkg'}", "-W", "-f", "${Package} ${Version}\n"], timeout=30
    )
    installed = set(listing.splitlines())
    wanted = {f"{name} {one.version}" for name, one in lock.packages.items()}
    if installed != wanted:
        raise ProgramFailed(
            "the tree has other packages than the lock: "
            f"missing {sorted(wanted - installed)}, not locked {sorted(installed - wanted)}",
            hint="run `larva image lock`",
        )


def mmdebstrap(recipe: Recipe, files: Path | None) -> list[str]:
    """Return the command that installs the recipe, without suite, target and sources."""
    argv = [
        "mmdebstrap", "--mode=root", "--variant=apt", "--format=directory", "--architectures=amd64",
        '--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Retries "3"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.exclude),
        *(f"--dpkgopt=path-include={pattern}" for pattern in recipe.include),
        f"--include={','.join(recipe.packages)}",
    ]  # fmt: skip
    if files is not None:
        argv.append(f"--essential-hook=sync-in {files} /")
    return argv
