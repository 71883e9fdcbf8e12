"""A light machine: the image's own tree and systemd in namespaces of its own, running within a second or two."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from images.clouds.lab import cgroup, light, seed
from images.clouds.lab.network import Cable
from images.clouds.lab.topology import DISK_DIRECTORY, Cloud, Host
from larva import process
from larva.errors import LarvaError, NotFound, ProgramFailed, TimedOut

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.02
_GRACE_S = 2.0
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/bash", "LANG": "C.UTF-8",
}  # fmt: skip
_HALT = signal.SIGRTMIN + 4
"""What tells systemd to power off (systemd(1), signals)."""
_RUNNING = frozenset({"running", "degraded"})
MANAGER_SOCKET = "run/systemd/private"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a machine's parts are on the machine below."""

    tree: Path
    directory: Path
    """Its own layer and disks."""
    group: Path
    """Its cgroup: `supervisor` and `machine` below it."""
    cable: Cable
    log_file: Path


class Machine:
    """One light machine of a lab."""

    def __init__(self, host: Host, place: Place) -> None:
        self.host = host
        self.place = place

    @property
    def name(self) -> str:
        """The host's name in the topology."""
        return self.host.name

    @property
    def made(self) -> bool:
        """Whether it has a disk: it was launched, running or not."""
        return (self.place.directory / "upper").is_dir()

    @property
    def on(self) -> bool:
        """Whether anything of it runs."""
        return cgroup.populated(self.place.group)

    def make(self, cloud: Cloud, *, user_data: str, instance: str, authorized_keys: tuple[str, ...] = ()) -> None:
        """Lay out its layer, its seed and its empty disks; it does not run yet."""
        base = self.place.directory
        base.mkdir(mode=0o700)  # not its parents: a lab that was removed meanwhile stays so
        for name in ("work", "root", "disks"):
            (base / name).mkdir()
        upper = base / "upper.new"
        upper.mkdir(mode=0o755)
        shutil.copystat(self.place.tree, upper)
        for disk in self.host.disks:
            with (base / "disks" / disk.path.name).open("xb") as file:
                file.truncate(disk.size_bytes)
        facts = seed.metadata(self.host, cloud, instance=instance, authorized_keys=authorized_keys)
        seed.write(upper, self.place.tree, host=self.host, metadata=facts, user_data=user_data)
        upper.rename(base / "upper")

    def power_on(self, *, timeout: float = START_TIMEOUT_S) -> None:
        """Start it on the disks it has; return when its systemd takes commands.

        Raises:
            NotFound: it was never launched.
            ProgramFailed: its process 1 ended at once; the message holds the last lines it said.
            TimedOut: systemd did not come up within `timeout` seconds.
        """
        if not self.made:
            raise NotFound(f"{self.name} was not launched yet", hint="bring the lab up first")
        if self.on:
            return
        payload, supervisor = self.place.group / "machine", self.place.group / "supervisor"
        cgroup.remove(payload)
        try:
            for group in (self.place.group, payload, supervisor):
                group.mkdir(exist_ok=True)
        except FileNotFoundError as error:
            raise NotFound(f"the lab of {self.name} is gone", hint="it was taken down meanwhile") from error
        self.place.log_file.unlink(missing_ok=True)
        scripts = light.environment(
            tree=self.place.tree,
            base=self.place.directory,
            payload=payload,
            disks=DISK_DIRECTORY,
            cable=self.place.cable,
        )
        words = [f"{key}={value}" for key, value in scripts.items()]
        cgroup.spawn(
            ["env", "-i", *words, "/bin/sh", "-c", light.SUPERVISE],
            group=supervisor, log_file=self.place.log_file,
        )  # fmt: skip
        deadline = time.monotonic() + timeout
        while not self._manager_listens():
            self._check_alive(deadline, f"systemd of {self.name} did not come up within {timeout:g} s")
            time.sleep(_POLL_S)

    def wait_running(self, *, timeout: float = START_TIMEOUT_S) -> str:
        """Wait until systemd has done all it was to start, cloud-init included; return `running` or `degraded`.

        Raises:
            TimedOut: it is still starting after `timeout` seconds; the message names the jobs it waits for.
            ProgramFailed: the machine ended meanwhile.
        """
        deadline = time.monotonic() + timeout
        state = ""
        while state not in _RUNNING:
            self._check_alive(deadline, f"{self.name} is {state or 'starting'} after {timeout:g} s", jobs=True)
            with contextlib.suppress(TimedOut, NotFound):  # NotFound: between two processes 1, at a reboot
                state = self.run(
                    ["systemctl", "is-system-running", "--wait"], ok_codes=range(256),
                    timeout=max(0.1, min(10.0, deadline - time.monotonic())),
                ).strip()  # fmt: skip
            if state not in _RUNNING:
                time.sleep(_POLL_S)
        return state

    def stop(self, *, timeout: float = STOP_TIMEOUT_S) -> bool:
        """Shut down in good order, and switch off what has not ended after `timeout` seconds.

        Returns:
            Whether everything ended by itself.
        """
        leader = self.leader()
        if leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, _HALT)
            if cgroup.wait_empty(self.place.group, timeout=timeout):
                return True
        clean = not self.on
        self.power_off(hard=True)
        return clean

    def power_off(self, *, hard: bool = True) -> None:
        """Pull the plug: every process ends at once, disks stay as they are; or, not `hard`, stop in good order."""
        if hard:
            self.place.cable.unplug()  # first: the dying must not say good-bye to their peers
            cgroup.kill(self.place.group)
        else:
            self.stop()

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 60,
        input: bytes | None = None,  # noqa: A002 - the name subprocess gives it
        ok_codes: Sequence[int] = (0,),
        env: Mapping[str, str] | None = None,
        secret: bool = False,
    ) -> str:
        """Run a program as root on the machine and return its standard output; as larva.process.run.

        Raises:
            LarvaError: the machine is off, the program is not there, failed, or was killed at `timeout` seconds.
        """
        # timeout(1) ends all that the program started there, which killing nsenter from outside would not.
        bounded = ["timeout", f"--kill-after={_GRACE_S:g}", f"{timeout:.3f}", *argv]
        command = self._entered(bounded, env or {})
        started = time.monotonic()
        try:
            return process.run(command, timeout=timeout + 2 * _GRACE_S, input=input, ok_codes=ok_codes, secret=secret)
        except ProgramFailed as error:
            shown = f"{self.name}: {argv[0] if secret else shlex.join(argv)}"
            if time.monotonic() - started >= timeout:
                raise TimedOut(f"{shown} did not end within {timeout:g} s") from error
            message = error.message.replace(command[0] if secret else shlex.join(command), shown, 1)
            raise ProgramFailed(message, hint=error.hint) from error

    def attach(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        """Run a program on the machine with this process's own input and outputs; return its exit code."""
        words = list(argv)
        if sys.stdin.isatty() and sys.stdout.isatty():
            # A terminal of the machine's own: this one belongs to a session that the machine cannot see.
            words = ["script", "--quiet", "--return", "--command", shlex.join(argv), "/dev/null"]
        done = subprocess.run(self._entered(words, env or {}), check=False)
        return done.returncode if done.returncode >= 0 else 128 - done.returncode

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

    def _manager_listens(self) -> bool:
        leader = self.leader()
        if leader is None:
            return False
        with contextlib.suppress(OSError):
            return Path(f"/proc/{leader}/root/{MANAGER_SOCKET}").exists()
        return False

    def _check_alive(self, deadline: float, late: str, *, jobs: bool = False) -> None:
        """Raise TimedOut after the deadline, and ProgramFailed once nothing of the machine runs."""
        if time.monotonic() > deadline:
            waiting = ""
            if jobs:
                with contextlib.suppress(LarvaError):
                    waiting = self.run(["systemctl", "list-jobs", "--no-legend", "--plain"], timeout=5).strip()
            raise TimedOut(late + (f"; it waits for:\n{waiting}" if waiting else ""), hint=f"see {self.place.log_file}")
        if not self.on:
            said = ""
            with contextlib.suppress(OSError):
                said = "\n".join(self.place.log_file.read_text(errors="replace").splitlines()[-process.TAIL_LINES :])
            raise ProgramFailed(
                f"{self.name} ended" + (f":\n{said}" if said else ""), hint=f"its log is {self.place.log_file}"
            )

    def _entered(self, argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
        leader = self.leader()
        if leader is None:
            raise NotFound(f"{self.name} is not running", hint="bring the lab up, or switch the machine on")
        group = self.place.group / "machine" / "lab-exec"
        group.mkdir(exist_ok=True)
        variables = {**_ENVIRONMENT, "TERM": os.environ.get("TERM", "dumb"), **env}
        return [
            *cgroup.entering(group),
            "nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
            "/usr/bin/env", "-i", *(f"{key}={value}" for key, value in variables.items()), *argv,
        ]  # fmt: skip


def _namespace_ids(pid: int | str) -> list[int]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return [int(word) for word in line.split()[1:]]
    return []
