"""The base tree: Debian with the recipe's packages and nothing of ours but what their installation needs to know."""

from pathlib import Path

from images import confine, layin
from images.mirror import MAIN_VARIABLE, Mirror
from images.recipe import Recipe
from images.stages import Stage
from larva import process
from larva.errors import ProgramFailed

BASE_FILES = layin.LAID_IN / "base"
"""Laid in before the packages: what the initramfs is made of."""
TIMEOUT_S = 1800.0


def stage(recipe: Recipe, mirror: Mirror, files: Path | None = BASE_FILES) -> Stage:
    """Return the stage that makes `root/` of the recipe's packages; `files` are laid in before them."""
    inputs = {
        "command": " ".join(mmdebstrap(recipe, None)),
        "sources": " ".join(mirror.sources(recipe.suite)),
        "epoch": str(recipe.epoch),
        "files": layin.read(files).digest if files else "",
    }

    def make(directory: Path, log_file: Path) -> None:
        process.require_programs("mmdebstrap", "setpriv", "unshare")
        try:
            confine.run(
                [*mmdebstrap(recipe, files), recipe.suite, directory / "root", *mirror.sources(recipe.suite)],
                timeout=TIMEOUT_S, env={"SOURCE_DATE_EPOCH": str(recipe.epoch)}, log_file=log_file,
            )  # fmt: skip
        except ProgramFailed as error:
            raise ProgramFailed(
                error.message,
                hint=f"if {mirror.main} does not answer, name another mirror by {MAIN_VARIABLE}; the log: {log_file}",
            ) from error

    return Stage(name="base", family=recipe.name, inputs=inputs, needs_mib=4096, make=make)


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
