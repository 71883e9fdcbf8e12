"""Bake: Packer boots the disk, runs the user's provisioning if there is some, checks the machine and seals it."""

import logging
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from packerpy import PackerExecutable

from images import accelerator, confine, disk, layin, provisioning, verify
from images import firmware as firmwares
from images.firmware import Firmware
from images.provisioning import Script
from images.recipe import Recipe
from images.stages import Stage, digest
from larva import codec, files, process
from larva.errors import ProgramFailed

log = logging.getLogger(__name__)

TEMPLATE = layin.LAID_IN
REPORT = "report.json"
SEALED = "disk.qcow2"
STATUS = "dpkg"
"""The directory with dpkg's `status` as it was at the end."""
TIMEOUT_S = 2400
GROWN_MIB = 4096
"""What the disk is grown to before it boots, as a cloud does with a small image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the boot showed; `ssh_s` is the guest's uptime when it first answered on ssh."""

    accelerator: str
    firmware: Firmware
    ssh_s: float
    summary: str


class Tool(Protocol):
    """Runs a program of the tools tree with `/mnt/out` being the working directory."""

    def __call__(self, *argv: str) -> None: ...


def stage(
    recipe: Recipe, made: Stage, made_entry: Path, tools_root: Path, *,
    provision: Sequence[Script] = (), firmware: Firmware = Firmware.BIOS,
) -> Stage:  # fmt: skip
    """Return the stage that boots `disk.raw` of the stage `made`; with provisioning it yields a sealed `disk.qcow2`."""
    inputs = {
        "disk": made.id, "provision": " ".join(f"{script.name}:{script.sha256}" for script in provision),
        "firmware": firmware, "tests": layin.read(verify.TESTS).digest,
        "template": layin.read(TEMPLATE, ["scripts"]).digest + digest(TEMPLATE.glob("*.pkr.hcl")),
        "code": digest(
            Path(file)
            for file in (__file__, verify.__file__, accelerator.__file__, firmwares.__file__, provisioning.__file__)
        ),
    }  # fmt: skip

    def make(directory: Path, log_file: Path) -> None:
        report = boot(
            made_entry / disk.DISK, directory, tools_root, log_file,
            epoch=recipe.epoch, provision=provision, firmware=firmware,
        )  # fmt: skip
        if not provision:
            (directory / SEALED).unlink()
        files.write_whole(directory / REPORT, codec.encode(report) + b"\n")

    return Stage(name="bake", family=recipe.name, inputs=inputs, needs_mib=recipe.disk_mib * 3, make=make)


def boot(
    source: Path, directory: Path, tools_root: Path, log_file: Path, *,
    epoch: int, provision: Sequence[Script] = (), firmware: Firmware = Firmware.BIOS,
) -> Report:  # fmt: skip
    """Boot a copy of the disk `source` through Packer, check it and leave it, sealed, as `directory/disk.qcow2`.

    Raises:
        HostUnfit: Packer, QEMU or the firmware is missing.
        ProgramFailed: it did not boot, or a script or a check failed; the message ends with Packer's last words.
    """
    process.require_programs("packer", "qemu-system-x86_64", "qemu-img", "ssh-keygen", "timeout")
    work = directory / "work"
    work.mkdir()
    (directory / STATUS).mkdir()
    process.run(["qemu-img", "convert", "-O", "qcow2", source, work / "source.qcow2"], timeout=600)
    process.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bake", "-f", work / "key"], timeout=30)
    write_seed(work, (work / "key.pub").read_text().strip(), tools_root, epoch)
    fastest = accelerator.best()
    scripts = provisioning.write(provision, work / "provision")
    variables = {
        "disk": str(work / "source.qcow2"), "disk_size": f"{GROWN_MIB}M", "seed": str(work / "seed.img"),
        "output": str(work / "output"), "serial_log": str(log_file.with_suffix(".console")),
        "ssh_private_key_file": str(work / "key"), "accelerator": fastest.accel, "cpu": fastest.cpu,
        "firmware": firmwares.drives(firmware, work), "provision": [str(script) for script in scripts],
        "check": verify.ssh_check(work / "ssh_config", work / "key"), "status": str(directory / STATUS / "status"),
    }  # fmt: skip
    files.write_whole(work / "values.pkrvars.json", codec.encode(variables))
    run_packer(work, log_file)
    (work / "output" / "disk.qcow2").rename(directory / SEALED)
    shutil.rmtree(work)
    ssh_s, summary = evidence(log_file.read_text(errors="replace"), log_file)
    return Report(accelerator=fastest.name, firmware=firmware, ssh_s=ssh_s, summary=summary)


def write_seed(work: Path, public_key: str, tools_root: Path, epoch: int) -> None:
    """Write a NoCloud seed as a FAT image: a disk is there when ds-identify looks, a CD-ROM on AHCI often is not."""
    with (work / "seed.img").open("wb") as image:
        image.truncate(1 << 20)
    (work / "meta-data").write_text("instance-id: bake\nlocal-hostname: bake\n")
    users = [{"name": "root", "ssh_authorized_keys": [public_key]}]
    (work / "user-data").write_bytes(b"#cloud-config\n" + codec.encode({"users": users}) + b"\n")
    for argv in (
        ("mkfs.vfat", "-n", "CIDATA", "/mnt/out/seed.img"),
        ("mcopy", "-i", "/mnt/out/seed.img", "/mnt/out/meta-data", "/mnt/out/user-data", "::"),
    ):
        confine.run_in(tools_root, argv, share={work: "out"}, timeout=60, env={"SOURCE_DATE_EPOCH": str(epoch)})


def run_packer(work: Path, log_file: Path) -> None:
    """Run `packer build` through packer-py, confined and bounded, its words going to the log file.

    packer-py knows neither a time limit nor an environment; the small program it is given as Packer adds both.
    """
    program = shutil.which("packer")
    wrapper = work / "packer"
    wrapper.write_text(
        "#!/bin/sh\n"
        f"export PACKER_CACHE_DIR={shlex.quote(str(work / 'cache'))} TMPDIR={shlex.quote(str(work))}\n"
        "export CHECKPOINT_DISABLE=1\n"
        f'exec {shlex.join(confine.PREFIX)} timeout --kill-after=30 {TIMEOUT_S} {program} "$@"\n'
    )
    wrapper.chmod(0o700)
    with log_file.open("ab") as sink:
        packer = PackerExecutable(
            executable_path=str(wrapper), machine_readable=False, config={"stdout": sink, "stderr": sink}
        )
        code, _, _ = packer.build(str(TEMPLATE), color="false", var_file=str(work / "values.pkrvars.json"))
    if code != 0:
        tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-process.TAIL_LINES :])
        raise ProgramFailed(
            f"the image did not pass its boot (packer ended with code {code}):\n{tail}",
            hint=f"all of Packer's output: {log_file}; the machine's console: {log_file.with_suffix('.console')}",
        )


def evidence(text: str, log_file: Path) -> tuple[float, str]:
    """Return what Packer's output shows of a passed boot: the guest's seconds until ssh, and pytest's last line.

    Raises:
        ProgramFailed: one of them is not there. Packer ended well, and yet nothing shows that a check ran.
    """
    reached = re.search(r"larva: seconds until ssh: ([0-9.]+)", text)
    passed = re.search(r"\b[1-9][0-9]* passed\b.* in [0-9.]+s.*", text)
    if reached is None or passed is None:
        raise ProgramFailed(
            "the image's boot ended well, and its log shows no check that passed", hint=f"Packer's output: {log_file}"
        )
    return float(reached[1]), passed[0].strip()
