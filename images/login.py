"""How long a virtual machine takes from its power-on to the login prompt on its serial console."""

import os
import selectors
import subprocess
import tempfile
import time
from pathlib import Path

from images import bake
from images.accelerator import Accelerator
from larva import process
from larva.errors import ProgramFailed, TimedOut

PROMPT = b" login: "
MEMORY_MIB = 1024
TIMEOUT_S = 900.0


def seconds(
    image: Path, accelerator: Accelerator, tools_root: Path, *,
    epoch: int, kind: str = "raw", timeout: float = TIMEOUT_S,
) -> float:  # fmt: skip
    """Boot a copy of a disk once, by BIOS and with a NoCloud seed, and return the seconds until it asks for a login.

    Args:
        tools_root: the tree whose programs make the seed.
        epoch: the seed's time, Unix seconds.
        kind: the disk's format, as QEMU calls it.
        timeout: seconds.

    Raises:
        TimedOut: it did not ask in time.
        ProgramFailed: QEMU ended before it asked.
    """
    process.require_programs("qemu-system-x86_64", "qemu-img")
    with tempfile.TemporaryDirectory(dir=image.parent, prefix=".login-") as scratch:
        work = Path(scratch)
        bake.write_seed(work, "", tools_root, epoch)
        copy = work / "disk.qcow2"
        process.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", kind, copy, f"{bake.GROWN_MIB}M"], timeout=60
        )
        return watch(command(copy, work / "seed.img", accelerator), timeout=timeout)


def command(disk: Path, seed: Path, accelerator: Accelerator) -> list[str]:
    """Return the words that start QEMU, its console being its output."""
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35",
        "-accel", accelerator.accel, "-cpu", accelerator.cpu, "-smp", "2", "-m", str(MEMORY_MIB), "-serial", "stdio",
        "-device", "virtio-rng-pci", "-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0",
        "-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe,discard=unmap",
        "-drive", f"file={seed},if=virtio,format=raw,readonly=on",
    ]  # fmt: skip


def watch(argv: list[str], *, timeout: float) -> float:
    """Run a machine until the prompt stands in its output, switch it off, and return how many seconds that took."""
    started = time.monotonic()
    said = b""
    ours, its = os.pipe()
    try:
        machine = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=its, stderr=its)
    finally:
        os.close(its)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(ours, selectors.EVENT_READ)
            while PROMPT not in said:
                left = started + timeout - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise TimedOut(f"the machine asked for no login in {timeout:g} s:{_tail(said)}")
                piece = os.read(ours, 1 << 16)
                if not piece:
                    raise ProgramFailed(f"the machine ended before it asked for a login:{_tail(said)}")
                said += piece
        return time.monotonic() - started
    finally:
        machine.kill()
        machine.wait()
        os.close(ours)


def _tail(said: bytes) -> str:
    lines = said.decode(errors="replace").splitlines()
    return "\n".join(["", *lines[-process.TAIL_LINES :]])
