"""The locked Python dependencies of the appliance, unpacked as its private environment's site-packages."""

import shutil
import sys
from pathlib import Path

from images import layin
from images.recipe import Recipe
from images.stages import Stage, digest
from larva import process

LOCK = layin.SOURCES / "requirements" / "appliance.txt"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
"""Newest first; Debian 13 has glibc 2.41, so these tags of PEP 600 all run there."""


def stage(recipe: Recipe) -> Stage:
    """Return the stage that makes `site-packages/` for the recipe's Python from the lock."""
    inputs = {"lock": digest([LOCK]), "python": recipe.python, "code": digest([Path(__file__)])}

    def make(directory: Path, log_file: Path) -> None:
        wheels = directory / "wheels"
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
        target = ["--python-version", recipe.python, "--implementation", "cp", "--only-binary=:all:"]
        for tag in (f"cp{recipe.python.replace('.', '')}", "abi3", "none"):
            target += ["--abi", tag]
        for platform in PLATFORMS:
            target += ["--platform", platform]
        process.run(
            [*pip, "download", "--require-hashes", "--no-deps", *target, "-r", LOCK, "-d", wheels],
            timeout=900, log_file=log_file,
        )  # fmt: skip
        # The host's pip believes its own Python is meant: the wheels were chosen above, so it may stop asking.
        process.run(
            [*pip, "install", "--no-index", "--no-deps", "--ignore-requires-python", "--no-compile",
             "--no-warn-conflicts", "--target", directory / "site-packages", *target, *sorted(wheels.glob("*.whl"))],
            timeout=300, log_file=log_file,
        )  # fmt: skip
        shutil.rmtree(wheels)
        shutil.rmtree(directory / "site-packages" / "bin", ignore_errors=True)
        for link in (directory / "site-packages").glob("*.dist-info/direct_url.json"):
            link.unlink()  # names a path of this machine

    return Stage(name="python", family="", inputs=inputs, needs_mib=512, make=make)
