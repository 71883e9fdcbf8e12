"""A virtual machine: the image's disk in QEMU, with a kernel of its own; entered by ssh, as at a provider."""

import contextlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from images import firmware
from images.clouds.lab import access, cgroup, qemu, seed
from images.clouds.lab.machine import Machine, Place
from images.clouds.lab.qemu import Hypervisor
from images.clouds.lab.topology import Cloud, Host
from larva import process
from larva.errors import LarvaError


class VirtualMachine(Machine):
    """One virtual machine of a lab."""

    start_timeout_s = 900.0
    stop_timeout_s = 240.0
    answer_s = 60.0
    poll_s = 1.0

    def __init__(self, host: Host, place: Place, hypervisor: Hypervisor) -> None:
        super().__init__(host, place)
        self._hypervisor = hypervisor

    @property
    def made(self) -> bool:
        """Whether it has a root disk: it was launched, running or not."""
        return (self.place.directory / qemu.ROOT).exists()

    @property
    def console(self) -> Path:
        """What its serial console said since it was switched on last."""
        return self.place.log_file.with_suffix(".console")

    def make(self, cloud: Cloud, *, user_data: str, instance: str, authorized_keys: tuple[str, ...] = ()) -> None:
        """Lay out its root disk over the image's, its seed and its empty disks; it does not run yet."""
        base = self.place.directory
        base.mkdir(mode=0o700)
        for disk in self.host.disks:
            with (base / disk.path.name).open("xb") as file:
                file.truncate(disk.size_bytes)
        facts = seed.metadata(self.host, cloud, instance=instance, authorized_keys=authorized_keys)
        seed.write_disk(
            base / qemu.SEED,
            meta_data=json.dumps(facts, indent=1) + "\n",
            user_data=user_data,
            network_config=json.dumps(qemu.network_config(self.host, cloud, self.place.cable), indent=1) + "\n",
        )
        firmware.drives(self.host.firmware, base)
        image = self._hypervisor.image
        kind = "raw" if image.suffix == ".raw" else "qcow2"
        new = base / f"{qemu.ROOT}.new"
        options: list[str | Path] = ["-q", "-f", "qcow2", "-b", image, "-F", kind]
        process.run(["qemu-img", "create", *options, new, str(qemu.ROOT_BYTES)], timeout=60)
        new.rename(base / qemu.ROOT)

    def leader(self) -> int | None:
        """Return QEMU's id on this machine; None when it is off."""
        return next(iter(cgroup.processes(self.place.group / "machine")), None)

    @property
    def _living(self) -> Path:
        """Not the whole group: a connection that is kept open is not the machine."""
        return self.place.group / "supervisor"

    def _program(self, payload: Path) -> list[str]:
        cgroup.remove(self._ways)
        self._ways.mkdir()
        words = [f"{key}={value}" for key, value in qemu.environment(self.place.cable, payload).items()]
        machine = qemu.command(
            self.host, self._hypervisor, directory=self.place.directory, cable=self.place.cable, console=self.console,
            flash=firmware.drives(self.host.firmware, self.place.directory),
        )  # fmt: skip
        return ["env", "-i", *words, "/bin/sh", "-c", qemu.SUPERVISE, "sh", *machine]

    def _can_be_entered(self) -> bool:
        with contextlib.suppress(LarvaError):
            process.run(self._entered(["true"], {}), timeout=self.answer_s)
            return True
        return False

    def _ask_to_stop(self) -> bool:
        with contextlib.suppress(LarvaError):
            self.run(["systemctl", "poweroff", "--no-block"])
            return True
        return False

    def _entered(self, argv: Sequence[str], env: Mapping[str, str], *, terminal: bool = False) -> list[str]:
        if not self.on:
            raise self._off()
        options = ["-t"] if terminal else []
        # One connection for all: a handshake takes an emulated processor seconds. It lives and dies with the machine.
        options += ["-o", "ControlMaster=auto", "-o", "ControlPersist=yes", "-o", f"ControlPath={self._control}"]
        options += ["-o", f"ConnectTimeout={self.answer_s:.0f}", "-o", "ServerAliveInterval=30"]
        way = access.ssh_command(
            self.place.access, self.host, self.place.cable.namespace, user="root", options=options
        )  # fmt: skip
        return [*cgroup.entering(self._ways), *way, shlex.join([*self._environment(env), *argv])]

    @property
    def _ways(self) -> Path:
        return self.place.group / "ways"

    @property
    def _control(self) -> Path:
        """The socket of the connection; a new one for each start, since QEMU's id is in it."""
        return self.place.access / f"{self.name}-{self.leader() or os.getpid()}.ssh"
