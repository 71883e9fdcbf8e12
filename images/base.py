"""The base tree: Debian with the recipe's packages and nothing of ours but what their installation needs to know."""

from pathlib import Path

from images import confine, layin
from images.mirror import Mirror
from images.recipe import Recipe
from images.stages import Stage, digest
from larva import process

BASE_FILES = layin.LAID_IN / "base"
"""Laid in before the packages: what the initramfs is made of."""
TIMEOUT_S = 1800.0


def stage(recipe: Recipe, mirror: Mirror, log_file: Path, files: Path | None = BASE_FILES) -> Stage:
    """Return the stage that makes `root/` of the recipe's packages; `files` are laid in before them."""
    inputs = {
        "suite": recipe.suite,
        "packages": " ".join(recipe.packages),
        "exclude": " ".join(recipe.exclude),
        "include": " ".join(recipe.include),
        "epoch": str(recipe.epoch),
        "mirror": " ".join(mirror.sources(recipe.suite)),
        "files": layin.read(files).digest if files else "",
        "code": digest([Path(__file__)]),
    }

    def make(directory: Path) -> None:
        process.require_programs("mmdebstrap", "setpriv", "unshare")
        confine.run(
            [*mmdebstrap(recipe, files), recipe.suite, directory / "root", *mirror.sources(recipe.suite)],
            timeout=TIMEOUT_S, env={"SOURCE_DATE_EPOCH": str(recipe.epoch)}, log_file=log_file,
        )  # fmt: skip

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
