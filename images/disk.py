"""The bootable disk: GPT, BIOS and UEFI with the Secure Boot chain, ext4; no loop device, no mount, always the same."""

from pathlib import Path
from typing import Protocol

from images import confine, gpt, layin
from images.gpt import Layout, identifier
from images.recipe import Recipe
from images.stages import Stage, digest
from larva import process

DISK_FILES = layin.LAID_IN / "disk"
DISK = "disk.raw"
ROOT_LABEL = "larva-root"
ESP_LABEL = "LARVA-ESP"
BIOS_MODULES = (
    "biosdisk", "part_gpt", "ext2", "search", "search_label", "configfile", "normal", "linux", "echo", "serial",
    "terminal", "test", "gzio", "all_video", "reboot", "halt",
)  # fmt: skip
ESP_TREE = (
    ("/usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI"),
    ("/usr/lib/shim/mmx64.efi.signed", "EFI/BOOT/mmx64.efi"),
    ("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/BOOT/grubx64.efi"),
    ("/mnt/laid-in/find.cfg", "EFI/BOOT/grub.cfg"),
    ("/mnt/laid-in/find.cfg", "EFI/debian/grub.cfg"),  # where Debian's signed GRUB looks
)
"""From the tools tree to the ESP: firmware runs shim, shim checks and runs GRUB, GRUB checks and runs the kernel."""


class Tool(Protocol):
    """Runs a program of the tools tree."""

    def __call__(self, *argv: str) -> None: ...


def stage(recipe: Recipe, tree: Stage, tree_entry: Path, tools: Stage, tools_entry: Path) -> Stage:
    """Return the stage that makes `disk.raw` from the tree with the programs of the tools tree."""
    inputs = {
        "tree": tree.id, "tools": tools.id, "disk_mib": str(recipe.disk_mib), "epoch": str(recipe.epoch),
        "files": layin.read(DISK_FILES).digest, "code": digest([Path(__file__), Path(gpt.__file__)]),
    }  # fmt: skip

    def make(directory: Path, log_file: Path) -> None:
        layout = Layout(recipe.disk_mib)
        disk = directory / DISK

        def tool(*argv: str) -> None:
            confine.run_in(
                tools_entry / "root", argv, share={directory: "out", DISK_FILES: "laid-in"}, timeout=600,
                env={"SOURCE_DATE_EPOCH": str(recipe.epoch), "MTOOLS_SKIP_CHECK": "1"}, log_file=log_file,
            )  # fmt: skip

        with disk.open("wb") as file:
            file.truncate(recipe.disk_mib * gpt.MIB)
        (directory / "table").write_text(layout.sfdisk(tree.id))
        tool("sh", "-c", f"sfdisk --quiet --no-reread --no-tell-kernel /mnt/out/{DISK} < /mnt/out/table")
        archive(tree_entry / "root", directory / "root.tar", recipe.epoch, log_file)
        tool(
            "mke2fs", "-q", "-t", "ext4", "-m", "1", "-L", ROOT_LABEL, "-U", str(identifier(tree.id, "root-fs")),
            "-E", f"offset={layout.root.offset},hash_seed={identifier(tree.id, 'hash')},nodiscard,root_owner=0:0",
            "-d", "/mnt/out/root.tar", f"/mnt/out/{DISK}", f"{layout.root.size_mib}M",
        )  # fmt: skip
        (directory / "root.tar").unlink()
        write_esp(tool, layout, tree.id)
        tool(
            "grub-mkimage", "-O", "i386-pc", "-o", "/mnt/out/core.img", "-p", "/boot/grub",
            "-c", "/mnt/laid-in/find.cfg", *BIOS_MODULES,
        )  # fmt: skip
        tool("cp", "/usr/lib/grub/i386-pc/boot.img", "/mnt/out/boot.img")
        sector = layout.bios.offset // gpt.SECTOR
        with disk.open("r+b") as patched:
            patched.write(gpt.boot_code((directory / "boot.img").read_bytes(), sector))
            patched.seek(layout.bios.offset)
            patched.write(gpt.core_image((directory / "core.img").read_bytes(), sector))
        for name in ("table", "core.img", "boot.img"):
            (directory / name).unlink()
        tool("sfdisk", "--verify", "--quiet", f"/mnt/out/{DISK}")

    return Stage(name="disk", family=recipe.name, inputs=inputs, needs_mib=recipe.disk_mib * 2, make=make)


def archive(root: Path, target: Path, epoch: int, log_file: Path) -> None:
    """Pack a tree in a fixed order with clamped times, and what only a real disk has: fstab and GRUB's menu."""
    fixed = [
        "tar", "--format=pax", "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "--sort=name",
        "--numeric-owner", f"--mtime=@{epoch}", "--clamp-mtime", "--xattrs", "--xattrs-include=security.*",
    ]  # fmt: skip
    process.run(
        [*fixed, "-cf", target, "-C", root, "--exclude=./etc/fstab", "--exclude=./dev/*", "."],
        timeout=600, log_file=log_file,
    )  # fmt: skip
    process.run(
        [*fixed, "--owner=0", "--group=0", "--mode=u=rwX,go=rX", "-rf", target, "-C", DISK_FILES / "root",
         "./boot/grub", "./etc/fstab"],
        timeout=60, log_file=log_file,
    )  # fmt: skip


def write_esp(tool: Tool, layout: Layout, seed: str) -> None:
    """Make the EFI system partition in place."""
    serial = identifier(seed, "esp-fs").hex[:8]
    tool(
        "mkfs.vfat", "--invariant", "-F", "32", "-s", "1", "-n", ESP_LABEL, "-i", serial,
        f"--offset={layout.esp.offset // gpt.SECTOR}", f"/mnt/out/{DISK}", str(layout.esp.size_mib * 1024),
    )  # fmt: skip
    image = f"/mnt/out/{DISK}@@{layout.esp.offset}"
    tool("mmd", "-i", image, "::EFI", "::EFI/BOOT", "::EFI/debian")
    for source, target in ESP_TREE:
        tool("mcopy", "-i", image, source, f"::{target}")
