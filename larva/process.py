"""Run external programs: one function that logs the command, bounds its time and shows its last lines when it fails."""

import contextlib
import errno
import logging
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from larva.errors import HostUnfit, ProgramFailed, TimedOut

log = logging.getLogger(__name__)

TAIL_LINES = 15
_HINTS = {
    errno.ENOENT: "run `make setup`",
    errno.EACCES: "see the permissions of the file and of the directories above it",
    errno.EAGAIN: "this user has as many processes as it may: end some, or raise the limit (`ulimit -u`)",
    errno.ENOMEM: "the machine has no memory left: end what is not needed",
    errno.EMFILE: "too many files are open; raise the limit (`ulimit -n`)",
    errno.ENOEXEC: "the file is no program for this machine",
}


def require_programs(*names: str) -> None:
    """Raise HostUnfit unless every program of `names` is on PATH."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise HostUnfit(
            f"missing programs: {', '.join(missing)}", hint="run `make setup`, which installs what is needed"
        )


def require_root(doing: str) -> None:
    """Raise HostUnfit unless the effective user is root; `doing` completes "… needs root"."""
    if os.geteuid() != 0:
        raise HostUnfit(f"{doing} needs root", hint="run the same command with sudo")


def python_module(name: str, *arguments: str, flags: Sequence[str] = ()) -> list[str]:
    """Return how a module of ours is run as a program, by the Python that runs this one and as isolated as it is.

    Args:
        flags: further ones for Python itself.
    """
    return [sys.executable, *(["-I"] if sys.flags.isolated else []), *flags, "-m", name, *arguments]


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float = 60,
    input: bytes | None = None,  # noqa: A002 - the name subprocess gives it
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    ok_codes: Sequence[int] = (0,),
    log_file: Path | None = None,
    secret: bool = False,
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        argv: the program and its arguments; no shell is involved.
        timeout: seconds after which it is killed.
        input: bytes for its standard input; without them it reads end of file.
        env: added to this process's environment.
        ok_codes: exit codes that count as success.
        log_file: where both outputs are appended as they come; the return value is then empty.
        secret: keep arguments and output out of logs and errors.

    Raises:
        HostUnfit: the program is not there or cannot be started; this machine has no memory or no process left.
        TimedOut: it was killed at `timeout`.
        ProgramFailed: another exit code; the message ends with its last lines.
    """
    words = [os.fspath(word) for word in argv]
    shown = words[0] if secret else shlex.join(words)
    log.debug("run %s", shown)
    with contextlib.ExitStack() as closing:
        sink = closing.enter_context(log_file.open("ab")) if log_file is not None else None
        try:
            done = subprocess.run(
                words, input=input, stdin=None if input is not None else subprocess.DEVNULL,
                stdout=sink or subprocess.PIPE, stderr=subprocess.STDOUT if sink else subprocess.PIPE,
                cwd=cwd, env={**os.environ, **env} if env else None, timeout=timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"{shown} did not end within {timeout:g} s") from error
        except OSError as error:
            raise _not_started(words[0], cwd, error) from error
    if done.returncode not in ok_codes:
        errors = log_file.read_bytes()[-20_000:] if log_file is not None else done.stderr or done.stdout
        tail = "" if secret else "\n".join(errors.decode(errors="replace").splitlines()[-TAIL_LINES:])
        raise ProgramFailed(f"{shown} ended with code {done.returncode}" + (f":\n{tail}" if tail else ""))
    return "" if sink is not None else done.stdout.decode(errors="replace")


def _not_started(program: str, cwd: Path | None, error: OSError) -> HostUnfit:
    """What to say when the system starts no process; subprocess(3) names the directory where that is the reason."""
    reason = error.strerror or str(error)
    if cwd is not None and error.filename is not None and Path(os.fsdecode(error.filename)) == cwd:
        return HostUnfit(f"cannot run {program} in {cwd}: {reason}")
    return HostUnfit(f"cannot run {program}: {reason}", hint=_HINTS.get(error.errno or 0, ""))
