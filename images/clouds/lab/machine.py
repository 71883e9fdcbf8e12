"""A machine of a lab: made, switched on and off, entered; what it is made of is left to its kinds."""

import contextlib
import os
import shlex
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from images.clouds.lab import cgroup
from images.clouds.lab.network import Cable
from images.clouds.lab.topology import Cloud, Host
from larva import process
from larva.errors import LarvaError, NotFound, ProgramFailed, TimedOut

_GRACE_S = 2.0
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/bash", "LANG": "C.UTF-8",
}  # fmt: skip
_RUNNING = frozenset({"running", "degraded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a machine's parts are on the machine below."""

    source: Path
    """What it is made of: the image's root tree, or its disk."""
    directory: Path
    """Its own layer and disks."""
    group: Path
    """Its cgroup."""
    cable: Cable
    log_file: Path
    access: Path
    """The directory with the lab's key pair."""


class Machine(ABC):
    """One machine of a lab, of whichever kind."""

    start_timeout_s: ClassVar[float]
    """How long it may take until it can be entered."""
    stop_timeout_s: ClassVar[float]
    """How long it may take to shut down in good order."""
    answer_s: ClassVar[float]
    """How much longer a program may take than on this machine itself, for the way there and back."""
    poll_s: ClassVar[float]
    """Between two looks at whether it is up."""

    def __init__(self, host: Host, place: Place) -> None:
        self.host = host
        self.place = place

    @property
    def name(self) -> str:
        """The host's name in the topology."""
        return self.host.name

    @property
    @abstractmethod
    def made(self) -> bool:
        """Whether it has a disk: it was launched, running or not."""

    @property
    def on(self) -> bool:
        """Whether anything of it runs."""
        return cgroup.populated(self._living)

    @abstractmethod
    def make(self, cloud: Cloud, *, user_data: str, instance: str, authorized_keys: tuple[str, ...] = ()) -> None:
        """Lay out its own layer, its seed and its empty disks; it does not run yet."""

    def power_on(self, *, timeout: float | None = None) -> None:
        """Start it on the disks it has; return when it can be entered.

        Args:
            timeout: seconds; as long as its kind may take without it.

        Raises:
            NotFound: it was never launched.
            ProgramFailed: it ended at once; the message holds the last lines it said.
            TimedOut: it did not come up in time.
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
        cgroup.spawn(self._program(payload), group=supervisor, log_file=self.place.log_file)
        patience_s = self.start_timeout_s if timeout is None else timeout
        deadline = time.monotonic() + patience_s
        while not self._can_be_entered():
            self._check_alive(deadline, f"{self.name} did not come up within {patience_s:g} s")
            time.sleep(self.poll_s)

    def wait_running(self, *, timeout: float | None = None) -> str:
        """Wait until systemd has done all it was to start, cloud-init included; return `running` or `degraded`.

        Raises:
            TimedOut: it is still starting after `timeout` seconds; the message names the jobs it waits for.
            ProgramFailed: the machine ended meanwhile.
        """
        patience_s = self.start_timeout_s if timeout is None else timeout
        deadline = time.monotonic() + patience_s
        state = ""
        while state not in _RUNNING:
            self._check_alive(deadline, f"{self.name} is {state or 'starting'} after {patience_s:g} s", jobs=True)
            with contextlib.suppress(TimedOut, NotFound):  # NotFound: between two processes 1, at a reboot
                state = self.run(
                    ["systemctl", "is-system-running", "--wait"], ok_codes=range(256),
                    timeout=max(0.1, min(10.0 + self.answer_s, deadline - time.monotonic())),
                ).strip()  # fmt: skip
            if state not in _RUNNING:
                time.sleep(self.poll_s)
        return state

    def stop(self, *, timeout: float | None = None) -> bool:
        """Shut down in good order, and switch off what has not ended after `timeout` seconds.

        Returns:
            Whether everything ended by itself.
        """
        patience_s = self.stop_timeout_s if timeout is None else timeout
        if self._ask_to_stop() and cgroup.wait_empty(self._living, timeout=patience_s):
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
        # timeout(1) ends all that the program started there, which killing the way in would not.
        bounded = ["timeout", f"--kill-after={_GRACE_S:g}", f"{timeout:.3f}", *argv]
        command = self._entered(bounded, env or {})
        bound_s = timeout + 2 * _GRACE_S + self.answer_s
        started = time.monotonic()
        try:
            return process.run(command, timeout=bound_s, input=input, ok_codes=ok_codes, secret=secret)
        except ProgramFailed as error:
            shown = f"{self.name}: {argv[0] if secret else shlex.join(argv)}"
            if time.monotonic() - started >= timeout:
                raise TimedOut(f"{shown} did not end within {timeout:g} s") from error
            message = error.message.replace(command[0] if secret else shlex.join(command), shown, 1)
            raise ProgramFailed(message, hint=error.hint) from error

    def attach(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        """Run a program on the machine with this process's own input and outputs; return its exit code."""
        on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        done = subprocess.run(self._entered(argv, env or {}, terminal=on_terminal), check=False)
        return done.returncode if done.returncode >= 0 else 128 - done.returncode

    @abstractmethod
    def leader(self) -> int | None:
        """Return the id, on this machine, of the process that is the machine; None when it is off."""

    @property
    def _living(self) -> Path:
        """The cgroup in which something lives as long as the machine is on."""
        return self.place.group

    @abstractmethod
    def _program(self, payload: Path) -> list[str]:
        """What runs as long as the machine is on; the machine itself runs in the cgroup `payload`."""

    @abstractmethod
    def _can_be_entered(self) -> bool:
        """Whether it takes commands."""

    @abstractmethod
    def _ask_to_stop(self) -> bool:
        """Begin a shutdown in good order; whether it was asked for."""

    @abstractmethod
    def _entered(self, argv: Sequence[str], env: Mapping[str, str], *, terminal: bool = False) -> list[str]:
        """Return the command that runs a program on it as root; with a terminal of the machine's own if `terminal`."""

    def _environment(self, env: Mapping[str, str]) -> list[str]:
        """The words that begin a program with a clean environment."""
        variables = {**_ENVIRONMENT, "TERM": os.environ.get("TERM", "dumb"), **env}
        return ["/usr/bin/env", "-i", *(f"{key}={value}" for key, value in variables.items())]

    def _off(self) -> NotFound:
        return NotFound(f"{self.name} is not running", hint="bring the lab up, or switch the machine on")

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
