"""The pipeline: which stage needs which, from the recipe to the artifacts."""

import os
import shutil
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from images import (
    artifacts,
    bake,
    base,
    console_assets,
    deb,
    disk,
    lock_choice,
    mirror,
    provisioning,
    python,
    recipe,
    seal,
)
from images import tree as tree_stage
from images.artifacts import Origin
from images.bake import Report
from images.firmware import Firmware
from images.lock import Lock
from images.lock_choice import Chosen, Mode
from images.mirror import Mirror
from images.packages import Packages
from images.recipe import Recipe
from images.stages import Cache, Stage
from larva import codec, process, settings
from larva.errors import HostUnfit


class Until(StrEnum):
    """How far to build."""

    TREE = "tree"
    DISK = "disk"
    BAKE = "bake"
    ARTIFACTS = "artifacts"


class Pipeline:
    """The stages of one profile; each reads its sources once, so that one build is of one state of the checkout.

    Args:
        lock: what to do where the committed lock of packages does not serve.

    Raises:
        NotFound: no such profile.
        HostUnfit: no root.
        InvalidInput: a provisioning script cannot be read.
    """

    def __init__(
        self, profile: str, *, provision: Sequence[Path] = (), directory: Path | None = None, lock: Mode = Mode.AUTO
    ) -> None:  # fmt: skip
        self.recipe = recipe.load(profile)
        self.provision = provisioning.read(provision)
        process.require_root("building an image")
        self.directory = directory or settings.cache_directory()
        self.cache = Cache(self.directory / "stages")
        self.logs = self.directory / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.packages = Packages(self.directory / "packages")
        self._lock_mode = lock

    @property
    def published(self) -> Path:
        """Where the artifacts of the profile are handed out."""
        return self.directory / "images" / self.recipe.name

    @cached_property
    def mirror(self) -> Mirror:
        """Where packages come from."""
        return mirror.of_this_host()

    def _choose(self, of: Recipe, stage: Callable[[Lock], Stage]) -> Chosen:
        return lock_choice.choose(
            of, self.mirror, self.packages, self.directory / "locks", mode=self._lock_mode,
            made=lambda lock: self.cache.has(stage(lock)), log_file=self.logs / f"packages-{of.name}-{os.getpid()}.log",
        )  # fmt: skip

    @cached_property
    def lock(self) -> Chosen:
        """Which version of every Debian package the image is made of."""
        return self._choose(self.recipe, self._base_of)

    def _base_of(self, lock: Lock) -> Stage:
        return base.stage(self.recipe, lock, self.packages, self.mirror)

    @cached_property
    def base(self) -> Stage:
        """Debian with the recipe's packages."""
        return self._base_of(self.lock.lock)

    @cached_property
    def python(self) -> Stage:
        """The locked dependencies."""
        return python.stage(self.recipe)

    @cached_property
    def console_assets(self) -> Stage:
        """The JavaScript libraries of the console's pages."""
        return console_assets.stage()

    @cached_property
    def deb(self) -> Stage:
        """Our Debian package."""
        dependencies, assets = self.python, self.console_assets
        return deb.stage(
            self.recipe, dependencies, self.cache.path(dependencies), assets, self.cache.path(assets)
        )  # fmt: skip

    @cached_property
    def tree(self) -> Stage:
        """The root tree."""
        below, package = self.base, self.deb
        return tree_stage.stage(self.recipe, below, self.cache.path(below), package, self.cache.path(package))

    @cached_property
    def tools(self) -> Stage:
        """The programs that make the disk, in a tree of their own."""
        tools = recipe.tools()

        def stage(lock: Lock) -> Stage:
            return base.stage(tools, lock, self.packages, self.mirror, files=None)

        return stage(self._choose(tools, stage).lock)

    @cached_property
    def disk(self) -> Stage:
        """The bootable disk."""
        below, tools = self.tree, self.tools
        return disk.stage(self.recipe, below, self.cache.path(below), tools, self.cache.path(tools))

    @cached_property
    def bake(self) -> Stage:
        """The boot that is the gate, and the user's provisioning."""
        return bake.stage(
            self.recipe, self.disk, self.cache.path(self.disk), self.cache.path(self.tools) / "root",
            provision=self.provision,
        )  # fmt: skip

    @cached_property
    def artifacts(self) -> Stage:
        """What is handed out: of the deterministic disk, or of the sealed one if it was provisioned."""
        source = self.bake if self.provision else self.disk
        image = self.cache.path(source) / (bake.SEALED if self.provision else disk.DISK)
        origin = Origin(
            source=source, disk=image, lock=self.lock, deb=(self.deb, self.cache.path(self.deb)),
            status=self.cache.path(self.bake) / bake.STATUS, root=self.cache.path(self.tree) / "root",
            stages=(self.base, self.python, self.console_assets, self.deb, self.tree, self.tools, self.disk, self.bake),
            provision=self.provision,
        )  # fmt: skip
        return artifacts.stage(self.recipe, origin, seal.signing_key(settings.config_directory()))

    def make_package(self) -> Path:
        """Return the Debian package, made now if anything changed."""
        if not self.cache.has(self.deb):
            self.cache.ensure(self.python)
            self.cache.ensure(self.console_assets)
        return deb.package_in(self.cache.ensure(self.deb))

    def make_tree(self) -> Path:
        """Return the root tree, made now if anything changed."""
        if not self.cache.has(self.tree):
            self.cache.ensure(self.base)
            self.make_package()
        return self.cache.ensure(self.tree) / "root"

    def make_disk(self) -> Path:
        """Return the bootable disk, made now if anything changed."""
        if not self.cache.has(self.disk):
            self.make_tree()
            self.cache.ensure(self.tools)
        return self.cache.ensure(self.disk) / disk.DISK

    def make_bake(self) -> Report:
        """Return what the gate showed, booted now if anything changed."""
        if not any(record.name == "bake" for record in self.cache.records()):
            require_packer()  # before packages are fetched
        if not self.cache.has(self.bake):
            require_packer()
            self.make_disk()
            self.cache.ensure(self.tools)
        report = self.cache.ensure(self.bake) / bake.REPORT
        return codec.decode(report.read_bytes(), Report, source=str(report))

    def make_artifacts(self) -> Path:
        """Return the directory of the published artifacts, made now if anything changed; none without the gate."""
        self.make_bake()
        if not self.cache.has(self.artifacts):
            self.make_tree()
            self.make_disk()
            self.make_package()
        artifacts.publish(self.cache.ensure(self.artifacts), self.published)
        return self.published

    def build(self, until: Until) -> Path:
        """Build up to and including a stage, drop what is old, and return where the result is."""
        match until:
            case Until.TREE:
                made = self.make_tree()
            case Until.DISK:
                made = self.make_disk()
            case Until.BAKE:
                self.make_bake()
                made = self.cache.path(self.bake)
            case Until.ARTIFACTS:
                made = self.make_artifacts()
        self.cache.prune()
        return made

    def published_disk(self) -> Path:
        """Return the qcow2 of the published artifacts, after it was compared with what was signed."""
        manifest = artifacts.read(self.published, self.recipe.name)
        return next(self.published / one.name for one in manifest.artifacts if one.name.endswith(".qcow2"))

    def boot_published(self, firmware: Firmware) -> Report:
        """Boot a copy of the published qcow2 under the given firmware and check the machine."""
        image = self.published_disk()
        tools = self.cache.ensure(self.tools)
        with self.cache.scratch("verify") as scratch:
            return bake.boot(
                image, scratch, tools / "root", self.logs / f"verify-{self.recipe.name}-{firmware}-{os.getpid()}.log",
                epoch=self.recipe.epoch, firmware=firmware,
            )  # fmt: skip


def require_packer() -> None:
    """Raise HostUnfit unless Packer is there: asked first, because the stages before the boot take minutes."""
    if shutil.which("packer") is None:
        raise HostUnfit(
            "missing program: packer, which boots the image for its tests",
            hint="Debian 12: run `make setup`; Debian 13 has no such package, and that of Debian 12 works there",
        )


def tree(profile: str) -> Path:
    """Return the root tree of `profile`, built or taken from the cache; it stays in use while this process lives.

    A lab that outlives the process keeps a file `leases/<run id>` beside the tree, so that nothing prunes it.

    Raises:
        NotFound: no such profile.
        HostUnfit: no root, missing programs, no disk space.
        ProgramFailed: a step of the build failed; the message ends with its last lines.
    """
    return Pipeline(profile).build(Until.TREE)


def published_disk(profile: str) -> Path:
    """Return the qcow2 that is handed out for `profile`, built, booted as a gate, and compared with what was signed.

    Raises:
        LarvaError: as `tree`; or its boot failed; or the artifact is not what was signed.
    """
    made = Pipeline(profile)
    made.build(Until.ARTIFACTS)
    return made.published_disk().resolve()
