"""Which of QEMU's accelerators really helps: a virtual machine's own small sum decides, not the device file."""

import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 300_000_000
"""About a second in software; where KVM is itself emulated, a minute (seen: 2.9 s against more than 60 s)."""
SMALL_TB_MIB = 128
EXIT_CODE = (0x31 << 1) | 1
"""What QEMU's isa-debug-exit makes of the byte that the probe writes (QEMU hw/misc/debugexit.c)."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """QEMU's `-accel` and the `-cpu` that goes with it."""

    name: str
    accel: str
    cpu: str
    accel_small: str
    """For one of several machines: a smaller buffer of translated code."""
    cpus: int
    """For each of several machines."""


KVM = Accelerator("kvm", "kvm", "host", "kvm", 2)
TCG = Accelerator("tcg", "tcg,thread=multi,tb-size=512", "max,cx16=off", f"tcg,thread=multi,tb-size={SMALL_TB_MIB}", 1)
"""Without cx16: QEMU 7.2 crashes some kernels right after `cmpxchg16b` (double fault, four boots of four)."""


def best() -> Accelerator:
    """Return KVM where it is faster than software emulation, else TCG."""
    if not Path("/dev/kvm").exists():
        return TCG
    with tempfile.NamedTemporaryFile(suffix=".img") as image:
        image.write(boot_sector(ROUNDS))
        image.flush()
        software = seconds(TCG, Path(image.name), timeout=60)
        hardware = seconds(KVM, Path(image.name), timeout=(software or 10) + 1)
    return KVM if hardware is not None and (software is None or hardware < software) else TCG


def boot_sector(rounds: int) -> bytes:
    """Return a boot sector that counts `rounds` down and then ends its machine."""
    code = (
        b"\x66\xb9" + struct.pack("<I", rounds)  # mov ecx, rounds
        + b"\x66\x49" + b"\x75\xfc"  # dec ecx; jnz back
        + b"\xb0\x31" + b"\xe6\xf4" + b"\xf4"  # mov al, 0x31; out 0xf4, al; hlt
    )  # fmt: skip
    return code.ljust(510, b"\0") + b"\x55\xaa"


def seconds(accelerator: Accelerator, image: Path, *, timeout: float) -> float | None:
    """Return how long the machine took to count; None if it failed or took more than `timeout` seconds."""
    started = time.monotonic()
    argv = [
        "qemu-system-x86_64", "-accel", accelerator.accel, "-nodefaults", "-display", "none", "-m", "16", "-no-reboot",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-drive", f"file={image},format=raw,if=ide",
    ]  # fmt: skip
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return None
    return time.monotonic() - started if done.returncode == EXIT_CODE else None
