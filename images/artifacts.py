"""Artifacts: the disk as qcow2 and raw.zst, our package, and what says where they come from, sealed."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from images import console_assets, deb, inventory, provenance, python, sbom, seal
from images.artifact import Artifact, describe
from images.formats import qcow2_zstd
from images.inventory import Package
from images.lock_choice import Chosen
from images.provisioning import Script
from images.recipe import Recipe
from images.stages import LEASES, Stage, digest
from larva import codec, files, process, settings
from larva.errors import NotFound

MANIFEST = "manifest.json"
CURRENT = "current-image"
"""The lease that keeps the published artifacts from being pruned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an image is: enough to tell two apart and to find a vulnerable package in it."""

    profile: str
    version: str
    suite: str
    architecture: str
    source: str
    """The stage the disk came from: `disk/<id>`, or `bake/<id>` for a provisioned one."""
    disk_bytes: int
    disk_sha256: str
    """Of the raw disk, which every exported form holds."""
    lock: str
    """Digest of the lock that Debian's packages were taken from."""
    locked: bool
    """Whether that lock is the checkout's; else it is one of the machine that built the image."""
    artifacts: tuple[Artifact, ...]
    packages: tuple[Package, ...]
    python: tuple[Package, ...]
    javascript: tuple[Package, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What artifacts are made of.

    Args:
        disk: a raw or qcow2 image, made by `source`.
        lock: what Debian's packages were taken from.
        deb: the stage of our package, and where its entry is.
        status: a directory with dpkg's file `status` of the image.
        root: the tree, with the packages' copyright files.
        stages: all that had a part in it, in their order.
        provision: the user's scripts, in their order.
    """

    source: Stage
    disk: Path
    lock: Chosen
    deb: tuple[Stage, Path]
    status: Path
    root: Path
    stages: Sequence[Stage]
    provision: Sequence[Script]


def stage(recipe: Recipe, origin: Origin, signing_key: Path) -> Stage:
    """Return the stage that makes the artifacts, what says where they come from, and the seal of all."""
    public = seal.public_key(signing_key.parent)
    modules = (__file__, inventory.__file__, provenance.__file__, qcow2_zstd.__file__, sbom.__file__, seal.__file__)
    inputs = {
        "source": origin.source.id, "package": origin.deb[0].id, "signer": digest([public]),
        "lock": origin.lock.lock.digest, "locked": str(origin.lock.committed),
        "code": digest(Path(module) for module in modules),
    }  # fmt: skip

    def make(directory: Path, log_file: Path) -> None:
        process.require_programs("qemu-img", "zstd", "dpkg-query", "minisign")
        ours = deb.package_in(origin.deb[1])
        version = ours.name.split("_")[1]
        stem = f"larva-{version}-{recipe.name}-amd64"
        raw = write_disk(origin.disk, directory / stem, log_file)
        shutil.copy(ours, directory)
        made = [describe(path) for path in sorted(directory.iterdir())]
        manifest = Manifest(
            profile=recipe.name, version=version, suite=recipe.suite, architecture="amd64",
            source=f"{origin.source.name}/{origin.source.id}", disk_bytes=raw.bytes, disk_sha256=raw.sha256,
            lock=origin.lock.lock.digest, locked=origin.lock.committed, artifacts=tuple(made),
            packages=inventory.debian(origin.status, origin.root, origin.lock.lock),
            python=inventory.python(ours, directory, recipe.python),
            javascript=inventory.javascript(console_assets.LOCK),
        )  # fmt: skip
        files.write_whole(directory / MANIFEST, codec.encode(manifest) + b"\n")
        write_origin(directory / stem, recipe, manifest, origin)
        seal.write(directory, signing_key, comment=f"larva {version} {recipe.name} {manifest.source}")

    return Stage(name="artifacts", family=recipe.name, inputs=inputs, needs_mib=recipe.disk_mib * 2, make=make)


def write_disk(disk: Path, stem: Path, log_file: Path) -> Artifact:
    """Write the disk as `stem`.qcow2 and `stem`.raw.zst; return the size and hash of the raw disk."""
    raw = disk
    if disk.suffix != ".raw":
        raw = stem.with_name("disk.raw")
        process.run(["qemu-img", "convert", "-O", "raw", disk, raw], timeout=900, log_file=log_file)
    qcow2 = Path(f"{stem}.qcow2")
    qcow2_zstd.write(raw, qcow2, log_file)
    process.run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, qcow2], timeout=900, log_file=log_file)
    process.run(["zstd", "-q", "-T0", "-9", raw, "-o", f"{stem}.raw.zst"], timeout=900)
    described = describe(raw)
    if raw != disk:
        raw.unlink()
    return described


def write_origin(stem: Path, recipe: Recipe, manifest: Manifest, origin: Origin) -> None:
    """Write the bill of materials in two forms, and the provenance."""
    packages = (*manifest.packages, *manifest.python, *manifest.javascript)
    image = sbom.Image(
        name=stem.name, version=manifest.version, suite=recipe.suite, source=manifest.source, epoch=recipe.epoch,
        packages=packages,
    )  # fmt: skip
    statement = provenance.statement(
        manifest.artifacts, profile=recipe.name, provision=origin.provision, stages=origin.stages, packages=packages,
        suite=recipe.suite, lock=python.LOCK,
    )  # fmt: skip
    written: Mapping[str, object] = {
        "spdx": sbom.spdx(image), "cdx": sbom.cyclonedx(image), "provenance": statement
    }  # fmt: skip
    for suffix, document in written.items():
        files.write_whole(Path(f"{stem}.{suffix}.json"), codec.encode(document) + b"\n")


def publish(entry: Path, place: Path) -> None:
    """Point `place` (…/images/<profile>) to the finished entry, in one step, and keep the entry from being pruned."""
    (entry / LEASES).mkdir(exist_ok=True)
    (entry / LEASES / CURRENT).touch()
    place.parent.mkdir(parents=True, exist_ok=True)
    before = place.resolve() if place.is_symlink() else None
    temporary = place.with_name(f".{place.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(entry)
    temporary.replace(place)
    if before is not None and before != entry.resolve():
        (before / LEASES / CURRENT).unlink(missing_ok=True)


def read(place: Path, profile: str, *, public: Path | None = None) -> Manifest:
    """Return the manifest of the published image, after every file of it was compared with what was signed.

    Args:
        public: the key that must have signed it; this machine's own without it.

    Raises:
        NotFound: none was built, or there is no key.
        Refused: it is not signed by that key.
        MalformedData: a file is missing or was changed; the message names it.
    """
    hint = f"run `larva image build --profile {profile}`"
    if not (place / MANIFEST).is_file():
        raise NotFound(f"there is no built image of profile {profile!r}", hint=hint)
    seal.check(place, public or seal.public_key(settings.config_directory()))
    return codec.decode((place / MANIFEST).read_bytes(), Manifest, source=str(place / MANIFEST))
