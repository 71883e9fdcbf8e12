"""Run external programs: one function that logs the command, bounds its time and shows its last lines when it fails."""

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
        HostUnfit: the program is not there.
        TimedOut: it was killed at `timeout`.
        ProgramFailed: another exit code; the message ends with its last lines.
    """
    words = [os.fspath(word) for word in argv]
    shown = words[0] if secret else shlex.join(words)
    log.debug("run %s", shown)
    full_env = {**os.environ, **env} if env else None
    try:
        if log_file is not None:
            with log_file.open("ab") as sink:
                done = subprocess.run(
                    words, input=input, stdin=None if input is not None else subprocess.DEVNULL, stdout=sink,
                    stderr=subprocess.STDOUT, cwd=cwd, env=full_env, timeout=timeout, check=False,
                )  # fmt: skip
            output, errors = b"", log_file.read_bytes()[-20_000:] if done.returncode not in ok_codes else b""
        else:
            done = subprocess.run(
                words, input=input, stdin=None if input is not None else subprocess.DEVNULL,
                capture_output=True, cwd=cwd, env=full_env, timeout=timeout, check=False,
            )  # fmt: skip
            output, errors = done.stdout, done.stderr or done.stdout
    except FileNotFoundError as error:
        raise HostUnfit(f"cannot run {words[0]}: {error.strerror}", hint="run `make setup`") from error
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"{shown} did not end within {timeout:g} s") from error
    if done.returncode not in ok_codes:
        tail = "" if secret else "\n".join(errors.decode(errors="replace").splitlines()[-TAIL_LINES:])
        raise ProgramFailed(f"{shown} ended with code {done.returncode}" + (f":\n{tail}" if tail else ""))
    return output.decode(errors="replace")
