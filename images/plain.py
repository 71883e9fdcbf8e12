"""What the image is measured against: a disk of the same packages as Debian installs them, without anything of ours."""

import dataclasses
from pathlib import Path

from images import base, disk, tree
from images.pipeline import Pipeline
from images.recipe import Recipe
from images.stages import Stage, digest
from larva import process


def of(recipe: Recipe) -> Recipe:
    """Return the recipe of the same packages with Debian's defaults: whole packages, and the units that they enable."""
    return dataclasses.replace(
        recipe, name=f"plain-{recipe.name}", disk_mib=recipe.disk_mib * 2,
        exclude=(), include=(), enable=(), disable=(), mask=(),
    )  # fmt: skip


def make_disk(pipeline: Pipeline) -> Path:
    """Return a bootable disk of the packages that the pipeline's lock names, made now if anything changed.

    Raises:
        LarvaError: as of the pipeline's own stages.
    """
    recipe, cache = of(pipeline.recipe), pipeline.cache
    # The initramfs is Debian's own too.
    below = base.stage(recipe, pipeline.lock.lock, pipeline.packages, pipeline.mirror, files=None)
    plain = _tree(recipe, below, cache.path(below))
    bootable = disk.stage(recipe, plain, cache.path(plain), pipeline.tools, cache.path(pipeline.tools))
    if not cache.has(bootable):
        if not cache.has(plain):
            cache.ensure(below)
        cache.ensure(plain)
        cache.ensure(pipeline.tools)
    return cache.ensure(bootable) / disk.DISK


def _tree(recipe: Recipe, below: Stage, below_entry: Path) -> Stage:
    """Return the stage that makes `root/`: the base, ready for its first boot as ours is."""

    def make(directory: Path, log_file: Path) -> None:
        process.run(
            ["cp", "-a", "--reflink=auto", below_entry / "root", directory / "root"], timeout=600, log_file=log_file
        )
        tree.anonymise(directory / "root")

    inputs = {"base": below.id, "code": digest([Path(__file__), Path(tree.__file__)])}
    return Stage(name="tree", family=recipe.name, inputs=inputs, needs_mib=2048, make=make)
