"""What starts a virtual machine: SeaBIOS, or OVMF, with the Secure Boot keys that machines are sold with."""

import shutil
from enum import StrEnum
from pathlib import Path

from larva.errors import HostUnfit

DIRECTORY = Path("/usr/share/OVMF")
"""Debian's package ovmf."""
VARIABLES = "vars.fd"


class Firmware(StrEnum):
    """What starts the machine."""

    BIOS = "bios"
    UEFI = "uefi"
    SECURE_BOOT = "secure-boot"


def drives(firmware: Firmware, work: Path) -> list[str]:
    """Return QEMU's flash drives for the firmware; its variables are copied into `work`, once, to be written there.

    Raises:
        HostUnfit: the firmware is not installed.
    """
    if firmware is Firmware.BIOS:
        return []
    kind = ".ms" if firmware is Firmware.SECURE_BOOT else ""
    code, variables = DIRECTORY / f"OVMF_CODE_4M{kind}.fd", DIRECTORY / f"OVMF_VARS_4M{kind}.fd"
    if not (code.exists() and variables.exists()):
        raise HostUnfit(f"there is no UEFI firmware at {code}", hint="install the package ovmf")
    if not (work / VARIABLES).exists():
        shutil.copy(variables, work / VARIABLES)
    return [f"if=pflash,format=raw,readonly=on,file={code}", f"if=pflash,format=raw,file={work / VARIABLES}"]
