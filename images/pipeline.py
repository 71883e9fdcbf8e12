"""The pipeline: which stage needs which, from the recipe to the artifacts."""

from functools import cached_property
from pathlib import Path

from images import base, deb, mirror, python, recipe
from images import tree as tree_stage
from images.stages import Cache, Stage
from larva import process, settings


class Pipeline:
    """The stages of one profile; each reads its sources once, so that one build is of one state of the checkout."""

    def __init__(self, profile: str, cache: Path | None = None) -> None:
        self.recipe = recipe.load(profile)
        process.require_root("building an image")
        directory = cache or settings.cache_directory()
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.cache = Cache(directory / "stages")
        self.logs = directory / "logs"
        self.logs.mkdir(exist_ok=True)

    def _log(self, name: str) -> Path:
        """Return the file that a stage's programs write to."""
        return self.logs / f"{name}-{self.recipe.name}.log"

    @cached_property
    def base(self) -> Stage:
        """Debian with the recipe's packages."""
        return base.stage(self.recipe, mirror.of_this_host(), self._log("base"))

    @cached_property
    def python(self) -> Stage:
        """The locked dependencies."""
        return python.stage(self.recipe, self._log("python"))

    @cached_property
    def deb(self) -> Stage:
        """Our Debian package."""
        dependencies = self.python
        return deb.stage(self.recipe, dependencies, self.cache.path(dependencies), self._log("deb"))

    @cached_property
    def tree(self) -> Stage:
        """The root tree."""
        below, package = self.base, self.deb
        return tree_stage.stage(
            self.recipe, below, self.cache.path(below), package, self.cache.path(package), self._log("tree")
        )

    def make_package(self) -> Path:
        """Return the Debian package, made now if anything changed."""
        stage = self.deb
        if not self.cache.has(stage):
            self.cache.ensure(self.python)
        return deb.package_in(self.cache.ensure(stage))

    def make_tree(self) -> Path:
        """Return the root tree, made now if anything changed."""
        stage = self.tree
        if not self.cache.has(stage):
            self.cache.ensure(self.base)
            self.cache.ensure(self.python)
            self.cache.ensure(self.deb)
        return self.cache.ensure(stage) / "root"


def tree(profile: str) -> Path:
    """Return the root tree of `profile`, built or taken from the cache; it stays in use while this process lives.

    A lab that outlives the process keeps a file `leases/<run id>` beside the tree, so that nothing prunes it.

    Raises:
        NotFound: no such profile.
        HostUnfit: no root, missing programs, no disk space.
        ProgramFailed: a step of the build failed; the message ends with its last lines.
    """
    pipeline = Pipeline(profile)
    made = pipeline.make_tree()
    pipeline.cache.prune()
    return made
