"""A light machine: the image's own tree and systemd in namespaces of its own, running within a second or two."""

import contextlib
import os
import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from images.clouds.lab import cgroup, light, seed
from images.clouds.lab.machine import Machine
from images.clouds.lab.topology import DISK_DIRECTORY, Cloud

_HALT = signal.SIGRTMIN + 4
"""What tells systemd to power off (systemd(1), signals)."""
MANAGER_SOCKET = "run/systemd/private"


class LightMachine(Machine):
    """One light machine of a lab."""

    start_timeout_s = 60.0
    stop_timeout_s = 20.0
    answer_s = 0.0
    poll_s = 0.02

    @property
    def made(self) -> bool:
        """Whether it has a layer of its own: it was launched, running or not."""
        return (self.place.directory / "upper").is_dir()

    def make(self, cloud: Cloud, *, user_data: str, instance: str, authorized_keys: tuple[str, ...] = ()) -> None:
        """Lay out its layer, its seed and its empty disks; it does not run yet."""
        base = self.place.directory
        base.mkdir(mode=0o700)  # not its parents: a lab that was removed meanwhile stays so
        for name in ("work", "root", "disks"):
            (base / name).mkdir()
        upper = base / "upper.new"
        upper.mkdir(mode=0o755)
        shutil.copystat(self.place.source, upper)
        for disk in self.host.disks:
            with (base / "disks" / disk.path.name).open("xb") as file:
                file.truncate(disk.size_bytes)
        facts = seed.metadata(self.host, cloud, instance=instance, authorized_keys=authorized_keys)
        seed.write(upper, self.place.source, host=self.host, metadata=facts, user_data=user_data)
        upper.rename(base / "upper")

    def leader(self) -> int | None:
        """Return the id, on this machine, of its process 1; None before that has its own root, or when it is off."""
        levels = len(_namespace_ids("self")) + 1
        group = self.place.group / "machine"
        for where in (group / "init.scope", group):
            for pid in cgroup.processes(where):
                with contextlib.suppress(OSError):
                    ids = _namespace_ids(pid)
                    if len(ids) == levels and ids[-1] == 1 and not Path(f"/proc/{pid}/root").samefile("/"):
                        return pid
        return None

    def _program(self, payload: Path) -> list[str]:
        scripts = light.environment(
            tree=self.place.source,
            base=self.place.directory,
            payload=payload,
            disks=DISK_DIRECTORY,
            cable=self.place.cable,
        )
        words = [f"{key}={value}" for key, value in scripts.items()]
        return ["env", "-i", *words, "/bin/sh", "-c", light.SUPERVISE]

    def _can_be_entered(self) -> bool:
        leader = self.leader()
        if leader is None:
            return False
        with contextlib.suppress(OSError):
            return Path(f"/proc/{leader}/root/{MANAGER_SOCKET}").exists()
        return False

    def _ask_to_stop(self) -> bool:
        leader = self.leader()
        if leader is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(leader, _HALT)
        return True

    def _entered(self, argv: Sequence[str], env: Mapping[str, str], *, terminal: bool = False) -> list[str]:
        leader = self.leader()
        if leader is None:
            raise self._off()
        group = self.place.group / "machine" / "lab-exec"
        group.mkdir(exist_ok=True)
        words = list(argv)
        if terminal:  # one of the machine's own: this one belongs to a session that the machine cannot see
            words = ["script", "--quiet", "--return", "--command", shlex.join(argv), "/dev/null"]
        return [
            *cgroup.entering(group),
            "nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
            *self._environment(env), *words,
        ]  # fmt: skip


def _namespace_ids(pid: int | str) -> list[int]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return [int(word) for word in line.split()[1:]]
    return []
