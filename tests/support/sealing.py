"""Directories as `larva image build` and `export` hand them out, small, and sealed by a key of the test's."""

from pathlib import Path

from images import seal
from images.artifact import describe
from images.artifacts import MANIFEST, Manifest
from images.export import exporting, launch_page, targets
from images.export.exporting import Exported
from larva import codec

STEM = "larva-0.1.0-full-amd64"


def built(directory: Path, keys: Path, content: bytes = b"a disk") -> Path:
    """Make what a build publishes; return it."""
    directory.mkdir(parents=True)
    (directory / f"{STEM}.qcow2").write_bytes(content)
    manifest = Manifest(
        profile="full", version="0.1.0", suite="trixie", architecture="amd64", source="disk/0123456789abcdef0123",
        disk_bytes=64 << 20, disk_sha256="0" * 64, lock="0" * 20, locked=True,
        artifacts=(describe(directory / f"{STEM}.qcow2"),), packages=(), python=(),
    )  # fmt: skip
    (directory / MANIFEST).write_bytes(codec.encode(manifest))
    seal.write(directory, seal.signing_key(keys), comment="larva 0.1.0 full disk/0123456789abcdef0123")
    return directory


def exported(directory: Path, keys: Path, target: str, content: bytes = b"a disk") -> Path:
    """Make what an export for a target hands out; return it."""
    directory.mkdir(parents=True)
    facts = targets.load()[target]
    file = directory / f"{STEM}.{target}"
    file.write_bytes(content)
    how = launch_page.launch(facts, describe(file))
    record = Exported(
        target=target, format=facts.format, file=describe(file), source="disk/0123456789abcdef0123",
        raw_sha256="0" * 64, reader="nobody", launch=how,
    )  # fmt: skip
    (directory / exporting.RECORD).write_bytes(codec.encode(record))
    (directory / exporting.PAGE).write_text(launch_page.render(how, describe(file), source=record.source, epoch=0))
    seal.write(directory, seal.signing_key(keys), comment=f"larva for {target}, {record.source}")
    return directory
