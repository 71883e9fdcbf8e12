"""Export: hand out the disk in the form that a target takes, with what its reader needs to launch it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from images import artifacts, recipe, seal
from images.artifact import Artifact, describe
from images.export import launch_page, source, writing
from images.export.launch_page import Launch
from images.export.targets import Target
from images.formats.format import Disk
from images.stages import Cache, Stage, digest, require_space
from larva import codec, process, settings
from larva.errors import InvalidInput, MalformedData

RECORD = "export.json"
PAGE = "launch.md"
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was made for a target.

    Args:
        source: the stage that the disk came from.
        raw_sha256: of the raw disk, which the file holds byte for byte.
        reader: what read it back.
    """

    target: str
    format: str
    file: Artifact
    source: str
    raw_sha256: str
    reader: str
    launch: Launch


def export(profile: str, targets: Mapping[str, Target], directory: Path) -> dict[Path, Exported]:
    """Export the published image of a profile; return for each target where it is and what it is.

    What was made before is taken from the cache, so that an export that was killed goes on with the format it was at.

    Args:
        directory: where images and stages are kept.

    Raises:
        NotFound: there is no such profile, or none was built.
        MalformedData: the published archive is not what its manifest says, or a file read back is not the raw disk.
        InvalidInput: a target takes no disk of this size; nothing was written for any.
        HostUnfit: not enough disk space, or a program is missing.
    """
    epoch = recipe.load(profile).epoch
    place = directory / "images" / profile
    manifest = artifacts.read(place, profile)
    for name, target in targets.items():
        require_multiple(manifest.disk_bytes, name, target)
    archive = source.archive_of(place, manifest)
    cache = Cache(directory / "stages")
    signing_key = seal.signing_key(settings.config_directory())
    raw = source.stage(archive, manifest)

    def disk() -> Disk:
        name = archive.name.removesuffix(source.ARCHIVE_SUFFIX)
        return source.disk(cache.ensure(raw), sha256=manifest.disk_sha256, epoch=epoch, name=name)

    found = {}
    for name, target in targets.items():
        file = writing.stage(raw, disk, format_name=target.format, size=manifest.disk_bytes, profile=profile)
        ready = stage(
            file, cache.ensure, name=name, target=target, source=manifest.source, epoch=epoch, signing_key=signing_key
        )
        made = cache.ensure(ready)
        published = directory / "exports" / profile / name
        artifacts.publish(made, published)
        found[published] = codec.decode((made / RECORD).read_bytes(), Exported, source=str(made / RECORD))
    cache.prune()
    return found


def stage(
    file: Stage, ensure: Callable[[Stage], Path], *, name: str, target: Target, source: str, epoch: int,
    signing_key: Path,
) -> Stage:  # fmt: skip
    """Return the stage that makes a target's directory: the file, its record, the page on launching it, and the seal.

    Args:
        file: the stage that writes the file.
        ensure: makes that stage. A file that was changed since is not signed: MalformedData.
        name: the target's.
        source: the stage that the disk came from, for the record.
        epoch: the image's time, Unix seconds.
    """
    inputs = {
        "file": file.id, "source": source, "name": name, "target": codec.encode(target).decode(),
        "signer": digest([seal.public_key(signing_key.parent)]),
        "code": digest(path for path in Path(__file__).parent.iterdir() if path.suffix in {".py", ".md"}),
    }  # fmt: skip

    def make(directory: Path, _: Path) -> None:
        entry = ensure(file)
        written = writing.read(entry)
        linked = directory / written.file.name
        linked.hardlink_to(entry / linked.name)
        if describe(linked) != written.file:
            raise MalformedData(
                f"{entry / linked.name} was changed since it was written", hint=f"remove {entry} and export again"
            )
        exported = Exported(
            target=name, format=target.format, file=written.file, source=source, raw_sha256=written.raw_sha256,
            reader=written.reader, launch=launch_page.launch(target, written.file),
        )  # fmt: skip
        (directory / PAGE).write_text(launch_page.render(exported.launch, written.file, source=source, epoch=epoch))
        (directory / RECORD).write_bytes(codec.encode(exported) + b"\n")
        seal.write(directory, signing_key, comment=f"larva for {name}, {source}")

    return Stage(name="export", family=f"{file.family}, {name}", inputs=inputs, needs_mib=1, make=make)


def copy(made: Path, exported: Exported, place: Path) -> Path:
    """Copy what was made for a target to `place`/<target>, each file whole; return that directory.

    Raises:
        HostUnfit: the file system is full; a file that was there before is still whole.
    """
    directory = place / exported.target
    directory.mkdir(parents=True, exist_ok=True)
    require_space(directory, exported.file.bytes // MIB + 1)
    for name in (exported.file.name, PAGE, RECORD, seal.SUMS, seal.SIGNATURE):
        temporary = directory / f".{name}.part"
        try:
            process.run(["cp", "--reflink=auto", "--sparse=always", made / name, temporary], timeout=900)
            temporary.replace(directory / name)
        finally:
            temporary.unlink(missing_ok=True)
    return directory


def require_multiple(size: int, name: str, target: Target) -> None:
    """Raise InvalidInput unless the target takes a disk of `size` bytes."""
    if size % (target.multiple_mib * MIB):
        wanted = -(-size // (target.multiple_mib * MIB)) * target.multiple_mib
        raise InvalidInput(
            f"{target.title} takes disks of a multiple of {target.multiple_mib} MiB, and this one has {size} bytes",
            hint=f"set disk_mib = {wanted} in the recipe, build again, and export --for {name}",
        )
