"""OVA, which VMware takes: an OVF descriptor, checksums, and a streamOptimized VMDK in one tar archive.

Source: DMTF DSP0243 2.1.1, sections 5.1 (manifest), 5.3 (the order in the archive); VMware, "Virtual Disk Format 5.0".
"""

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from string import Template

from images.formats.format import CHUNK, Disk
from larva import process
from larva.errors import MalformedData

DESCRIPTOR = Path(__file__).parent / "machine.ovf"
IDENTITY = re.compile(rb"\nCID=[0-9a-f]{1,8}\n")
"""qemu-img draws the content's identity at random, and writes no leading zeros."""
HEAD_BYTES = 64 << 10
"""In which qemu-img writes the descriptor, before the data."""


class Ova:
    """A machine of one disk, one network card and two processors."""

    suffix = ".ova"
    reader = "tarfile and libvmdk"

    def write(self, disk: Disk, target: Path, log_file: Path) -> None:
        """See Format."""
        vmdk = target.with_suffix(".vmdk")
        try:
            process.run(
                ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o",
                 "subformat=streamOptimized,adapter_type=lsilogic,hwversion=13", disk.raw, vmdk],
                timeout=1800, log_file=log_file,
            )  # fmt: skip
            _identify(vmdk, disk.sha256[:8])
            descriptor = Template(DESCRIPTOR.read_text()).substitute(
                name=disk.name, disk=f"{disk.name}.vmdk", capacity=disk.size, bytes=vmdk.stat().st_size
            )
            _pack(target, disk, descriptor.encode(), vmdk)
        finally:
            vmdk.unlink(missing_ok=True)

    def read(self, file: Path) -> Iterator[bytes]:
        """See Format."""
        import pyvmdk

        unpacked = file.with_name(f".{file.name}.vmdk")
        try:
            _unpack(file, unpacked)
            opened = pyvmdk.handle()
            opened.open(str(unpacked))
            opened.open_extent_data_files()
            size = opened.get_media_size()
            for offset in range(0, size, CHUNK):
                yield opened.read_buffer_at_offset(min(CHUNK, size - offset), offset)
        except OSError as error:
            raise MalformedData(f"{file} holds no whole VMDK: {error}") from error
        finally:
            unpacked.unlink(missing_ok=True)


def _identify(vmdk: Path, identity: str) -> None:
    with vmdk.open("r+b") as file:
        head = identified(file.read(HEAD_BYTES), identity)
        file.seek(0)
        file.write(head)


def identified(head: bytes, identity: str) -> bytes:
    """Return the start of a VMDK with another content identity of 8 digits in its descriptor, as long as before.

    Raises:
        MalformedData: there is no descriptor.
    """
    found = IDENTITY.search(head)
    if found is None:
        raise MalformedData(f"a VMDK has no descriptor in its first {HEAD_BYTES} bytes")
    line = f"\nCID={identity}\n".encode()
    end = head.index(b"\0", found.end())
    longer = len(line) - len(found[0])
    return head[: found.start()] + line + head[found.end() : end] + head[end + longer :]


def _pack(target: Path, disk: Disk, descriptor: bytes, vmdk: Path) -> None:
    with vmdk.open("rb") as content:
        of_disk = hashlib.file_digest(content, "sha256").hexdigest()
    manifest = (
        f"SHA256({disk.name}.ovf)= {hashlib.sha256(descriptor).hexdigest()}\nSHA256({disk.name}.vmdk)= {of_disk}\n"
    )

    def member(suffix: str, size: int) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(f"{disk.name}.{suffix}")
        entry.size, entry.mtime, entry.mode = size, disk.epoch, 0o644
        return entry

    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as archive, vmdk.open("rb") as content:
        archive.addfile(member("ovf", len(descriptor)), io.BytesIO(descriptor))
        archive.addfile(member("mf", len(manifest)), io.BytesIO(manifest.encode()))
        archive.addfile(member("vmdk", vmdk.stat().st_size), content)


def _unpack(file: Path, target: Path) -> None:
    """Write the archive's disk to `target`, after order and checksums were found right."""
    try:
        with tarfile.open(file, "r:") as archive:
            members = archive.getmembers()
            suffixes = [one.name.rpartition(".")[2] for one in members]
            if suffixes != ["ovf", "mf", "vmdk"]:
                raise MalformedData(f"{file} holds {suffixes}, not a descriptor, its checksums and a disk")
            digests = {}
            for one in members:
                content = archive.extractfile(one)
                if content is None:
                    raise MalformedData(f"{file}: {one.name} is no file")
                digest = hashlib.sha256()
                with target.open("wb") as copy:
                    while chunk := content.read(CHUNK):
                        digest.update(chunk)
                        copy.write(chunk)
                digests[one.name] = digest.hexdigest()
            if not _ends_well(file, members[-1]):
                raise MalformedData(f"{file} is no whole archive: it lacks its end")
            listed = archive.extractfile(members[1])
            said = dict(re.findall(r"SHA256\((.+)\)= ([0-9a-f]{64})", listed.read().decode() if listed else ""))
    except (tarfile.TarError, UnicodeDecodeError) as error:
        raise MalformedData(f"{file} is no whole archive: {error}") from error
    if said != {name: digest for name, digest in digests.items() if not name.endswith(".mf")}:
        raise MalformedData(f"{file}: its checksums are not those of its members")


def _ends_well(file: Path, last: tarfile.TarInfo) -> bool:
    """Whether two blocks of zeros follow the last member, padded to a whole record: tarfile would not miss them."""
    end = last.offset_data + -(-last.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE
    return file.stat().st_size == -(-end // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
