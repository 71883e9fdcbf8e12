"""Artifacts: the disk as qcow2 and raw.zst, our package, and a manifest that says what is in them."""

import hashlib
import shutil
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from images import deb
from images.recipe import Recipe
from images.stages import LEASES, Stage, digest
from larva import codec, files, process
from larva.errors import NotFound

MANIFEST = "manifest.json"
CURRENT = "current-image"
"""The lease that keeps the published artifacts from being pruned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file that is handed out."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A Debian package or a Python distribution in the image."""

    name: str
    version: str


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
    artifacts: tuple[Artifact, ...]
    packages: tuple[Package, ...]
    python: tuple[Package, ...]


def stage(recipe: Recipe, source: Stage, disk: Path, package: Stage, package_entry: Path, status: Path) -> Stage:
    """Return the stage that makes the artifacts.

    Args:
        source: the stage that made `disk`, a raw or qcow2 image.
        status: a directory with dpkg's file `status` of the image.
    """
    inputs = {"source": source.id, "package": package.id, "code": digest([Path(__file__)])}

    def make(directory: Path, log_file: Path) -> None:
        process.require_programs("qemu-img", "zstd", "dpkg-query")
        ours = deb.package_in(package_entry)
        version = ours.name.split("_")[1]
        stem = f"larva-{version}-{recipe.name}-amd64"
        # Clusters of 2 MiB compress better and convert in a ninth of the time of zlib's default ones.
        process.run(
            ["qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd,cluster_size=2M", disk,
             directory / f"{stem}.qcow2"],
            timeout=900, log_file=log_file,
        )  # fmt: skip
        raw = disk
        if disk.suffix != ".raw":
            raw = directory / "disk.raw"
            process.run(["qemu-img", "convert", "-O", "raw", disk, raw], timeout=900, log_file=log_file)
        process.run(["zstd", "-q", "-T0", "-9", raw, "-o", directory / f"{stem}.raw.zst"], timeout=900)
        disk_bytes = raw.stat().st_size
        (directory / "disk.raw").unlink(missing_ok=True)
        shutil.copy(ours, directory)
        manifest = Manifest(
            profile=recipe.name, version=version, suite=recipe.suite, architecture="amd64",
            source=f"{source.name}/{source.id}", disk_bytes=disk_bytes,
            artifacts=tuple(describe(path) for path in sorted(directory.iterdir())),
            packages=debian_packages(status), python=python_packages(ours, directory, recipe.python),
        )  # fmt: skip
        files.write_whole(directory / MANIFEST, codec.encode(manifest) + b"\n")

    return Stage(name="artifacts", family=recipe.name, inputs=inputs, needs_mib=recipe.disk_mib * 2, make=make)


def describe(path: Path) -> Artifact:
    """Return name, size and hash of a file."""
    with path.open("rb") as file:
        return Artifact(
            name=path.name, bytes=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest()
        )


def debian_packages(status: Path) -> tuple[Package, ...]:
    """Return the packages that dpkg's `status` in the directory lists as installed."""
    listing = process.run(
        ["dpkg-query", f"--admindir={status}", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Version}\n"], timeout=30
    )
    rows = [line.split("\t") for line in listing.splitlines()]
    return tuple(Package(name=row[1], version=row[2]) for row in rows if row[0].startswith("ii"))


def python_packages(package: Path, scratch: Path, python: str) -> tuple[Package, ...]:
    """Return the Python distributions in our Debian package."""
    unpacked = scratch / "unpacked"
    process.run(["dpkg-deb", "-x", package, unpacked], timeout=120)
    site = unpacked / deb.ENVIRONMENT / "lib" / f"python{python}" / "site-packages"
    found = {(one.metadata["Name"], one.version) for one in distributions(path=[str(site)])}
    shutil.rmtree(unpacked)
    return tuple(Package(name=name, version=version) for name, version in sorted(found))


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


def read(place: Path, profile: str) -> Manifest:
    """Return the manifest of the published image.

    Raises:
        NotFound: none was built, or files of it are gone.
    """
    hint = f"run `larva image build --profile {profile}`"
    if not (place / MANIFEST).is_file():
        raise NotFound(f"there is no built image of profile {profile!r}", hint=hint)
    manifest = codec.decode((place / MANIFEST).read_bytes(), Manifest, source=str(place / MANIFEST))
    for artifact in manifest.artifacts:
        file = place / artifact.name
        if not file.is_file() or file.stat().st_size != artifact.bytes:
            raise NotFound(f"{file} is missing or incomplete", hint=f"remove {place.resolve()}, then {hint}")
    return manifest


def check(place: Path, manifest: Manifest) -> list[str]:
    """Return the names of artifacts whose content is not what the manifest says."""
    return [artifact.name for artifact in manifest.artifacts if describe(place / artifact.name) != artifact]
