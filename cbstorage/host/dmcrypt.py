"""What cryptsetup does with one device: LUKS2 on it, and dm-crypt's clear view of it while it is open.

A key comes in by standard input, so that it is on no command line and in no file.
"""

import shutil
from pathlib import Path

from larva import process
from larva.errors import HostUnfit, ProgramFailed

_PREFIX = "larva-osd-"
_MAPPER = Path("/dev/mapper")
_QUICK_S = 60
_FORMAT_S = 180


def require() -> None:
    """Raise HostUnfit unless this machine can encrypt a device."""
    for program in ("cryptsetup", "dmsetup", "modprobe"):
        if shutil.which(program) is None:
            raise HostUnfit(
                f"no OSD can be encrypted here: there is no {program}",
                hint="install cryptsetup-bin, dmsetup and kmod, or add the device without encryption",
            )
    process.run(["modprobe", "--quiet", "dm-crypt"], timeout=_QUICK_S, ok_codes=(0, 1))
    try:
        targets = process.run(["dmsetup", "targets"], timeout=_QUICK_S)
    except ProgramFailed:  # no device mapper at all
        targets = ""
    if not any(line.startswith("crypt ") for line in targets.splitlines()):
        raise HostUnfit(
            "no OSD can be encrypted here: the kernel has no dm-crypt",
            hint="boot a kernel with CONFIG_DM_CRYPT, as Debian's have it, or add the device without encryption",
        )


def mapped(uuid: str) -> Path:
    """Where the clear view of an OSD's device is while it is open."""
    return _MAPPER / f"{_PREFIX}{uuid}"


def is_open(uuid: str) -> bool:
    """Whether an OSD's device is open."""
    return mapped(uuid).is_block_device()


def format_device(device: Path, uuid: str, key: bytes) -> None:
    """Write a LUKS2 header over whatever begins the device; its UUID is that of the OSD.

    The key is as random as the volume's own, so that the least that PBKDF2 may do is enough: Argon2 would take up to
    1 GiB of a small VM's memory (cryptsetup-luksFormat(8)).
    """
    process.run(
        [
            "cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--uuid", uuid,
            "--cipher", "aes-xts-plain64", "--key-size", "512", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
            "--key-file", "-", device,
        ],
        input=key, timeout=_FORMAT_S,
    )  # fmt: skip


def fits(device: Path, key: bytes) -> bool:
    """Whether the key opens the device."""
    argv: list[str | Path] = ["cryptsetup", "open", "--test-passphrase", "--type", "luks2", "--key-file", "-", device]
    try:
        process.run(argv, input=key, timeout=_QUICK_S)
    except ProgramFailed:
        return False
    return True


def open_device(device: Path, uuid: str, key: bytes) -> Path:
    """Open a device, or a file by a loop device that goes when it is closed, and return its clear view."""
    if not is_open(uuid):
        process.run(
            ["cryptsetup", "open", "--type", "luks2", "--key-file", "-", device, mapped(uuid).name],
            input=key, timeout=_QUICK_S,
        )  # fmt: skip
    return mapped(uuid)


def close(uuid: str) -> None:
    """Close an OSD's device, where it is open; the kernel forgets its key."""
    if is_open(uuid):
        process.run(["cryptsetup", "close", mapped(uuid).name], timeout=_QUICK_S)


def close_all() -> None:
    """Close every device of an OSD of ours."""
    for path in _MAPPER.glob(f"{_PREFIX}*"):
        close(path.name.removeprefix(_PREFIX))


def erase(device: Path) -> None:
    """Destroy every key slot: what is on the device can be read by nobody any more."""
    process.run(["cryptsetup", "luksErase", "--batch-mode", device], timeout=_QUICK_S)
