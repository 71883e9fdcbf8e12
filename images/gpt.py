"""The partition table of the disk, and the two places where BIOS start-up code is patched by hand."""

import struct
import uuid
from dataclasses import dataclass

SECTOR = 512
MIB = 1 << 20
NAMESPACE = uuid.UUID("6d7b2f0e-54a1-4f0c-9a5b-3c1d0a6f1e77")

BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT_X86_64 = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
"""Type GUIDs: UEFI specification 2.10 table 5-7; the Discoverable Partitions Specification."""

BOOT_CODE_BYTES = 440
KERNEL_SECTOR_AT = 0x5C
DRIVE_CHECK_AT = 0x66
BLOCK_LIST_AT = SECTOR - 12
CORE_SEGMENT = 0x820
"""GRUB 2.12: include/grub/i386/pc/boot.h and grub-core/boot/i386/pc/boot.S, diskboot.S."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition; start and size in MiB. The numbers are those of Debian's own cloud images."""

    number: int
    name: str
    type: str
    start_mib: int
    size_mib: int

    @property
    def offset(self) -> int:
        """Bytes from the start of the disk."""
        return self.start_mib * MIB


@dataclass(frozen=True, slots=True)
class Layout:
    """BIOS code, EFI system partition, and the root at the end, where it can grow."""

    disk_mib: int

    @property
    def bios(self) -> Partition:
        """Where GRUB's core for BIOS lies."""
        return Partition(number=14, name="bios", type=BIOS_BOOT, start_mib=1, size_mib=3)

    @property
    def esp(self) -> Partition:
        """The EFI system partition."""
        return Partition(number=15, name="esp", type=EFI_SYSTEM, start_mib=4, size_mib=60)

    @property
    def root(self) -> Partition:
        """The root file system; the last MiB is the backup partition table's."""
        return Partition(number=1, name="root", type=ROOT_X86_64, start_mib=64, size_mib=self.disk_mib - 65)

    def sfdisk(self, seed: str) -> str:
        """Return the script for sfdisk(8); `seed` fixes every identifier."""
        lines = ["label: gpt", f"label-id: {identifier(seed, 'disk')}", "unit: sectors"]
        lines += [
            f"{part.number} : start={part.offset // SECTOR}, size={part.size_mib * MIB // SECTOR}, "
            f"type={part.type}, uuid={identifier(seed, part.name)}, name={part.name}"
            for part in (self.bios, self.esp, self.root)
        ]
        return "\n".join(lines) + "\n"


def identifier(seed: str, name: str) -> uuid.UUID:
    """Return the UUID of `name` in the disk that `seed` names: equal inputs, equal disks."""
    return uuid.uuid5(NAMESPACE, f"{seed}/{name}")


def boot_code(boot_image: bytes, core_sector: int) -> bytes:
    """Return GRUB's boot.img for the first sector, told where its core begins, without the partition table's bytes."""
    code = bytearray(boot_image[:BOOT_CODE_BYTES])
    struct.pack_into("<Q", code, KERNEL_SECTOR_AT, core_sector)
    code[DRIVE_CHECK_AT : DRIVE_CHECK_AT + 2] = b"\x90\x90"  # believe the BIOS about the drive it booted from
    return bytes(code)


def core_image(core: bytes, core_sector: int) -> bytes:
    """Return GRUB's core with the block list in its first sector that loads the rest from the sectors after it."""
    patched = bytearray(core + bytes(-len(core) % SECTOR))
    rest = len(patched) // SECTOR - 1
    struct.pack_into("<QHH", patched, BLOCK_LIST_AT, core_sector + 1, rest, CORE_SEGMENT)
    return bytes(patched)
