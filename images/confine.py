"""Run build programs so that nothing outlives the build: own process and mount namespaces, dead with their parent."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from larva import process
from larva.errors import ProgramFailed

PREFIX = (
    "setpriv", "--pdeathsig", "KILL", "--",
    "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--",
)  # fmt: skip
"""Killing the build kills `unshare`, that kills the first process of the namespace, and the kernel kills the rest;
mounts made inside vanish with the namespace, so a left-over tree never holds a live mount."""

WITHOUT_NETWORK = (*PREFIX[:-1], "--net", "--")

ENTER = Path(__file__).parent / "enter.sh"


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    network: bool = True,
    env: Mapping[str, str] | None = None,
    log_file: Path | None = None,
) -> str:
    """Run `argv` like process.run, confined; needs root.

    Args:
        network: whether it has this machine's network, or none.
    """
    confinement = PREFIX if network else WITHOUT_NETWORK
    return _run(confinement, argv, timeout=timeout, env=env, log_file=log_file)


def run_in(
    root: Path,
    argv: Sequence[str | Path],
    *,
    timeout: float,
    share: Mapping[Path, str] | None = None,
    env: Mapping[str, str] | None = None,
    log_file: Path | None = None,
) -> str:
    """Run `argv` inside the root tree `root`, without a network.

    Args:
        share: directories of the host and the name under /mnt where the program finds each.
    """
    pairs = " ".join(f"{outside}:{inside}" for outside, inside in (share or {}).items())
    fixed = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root", "TMPDIR": "/tmp"}  # noqa: S108 - a fresh tmpfs
    confinement: list[str | Path] = [*WITHOUT_NETWORK, "sh", ENTER, root, pairs]
    return _run(confinement, argv, timeout=timeout, env={**fixed, **(env or {})}, log_file=log_file)


def _run(
    confinement: Sequence[str | Path],
    argv: Sequence[str | Path],
    *,
    timeout: float,
    env: Mapping[str, str] | None,
    log_file: Path | None,
) -> str:
    """Run, and name only `argv` when it fails: how it is confined explains nothing to the reader."""
    try:
        return process.run([*confinement, *argv], timeout=timeout, env=env, log_file=log_file)
    except ProgramFailed as error:
        shown = shlex.join(os.fspath(word) for word in confinement)
        hint = f"the whole log: {log_file}" if log_file is not None else ""
        raise ProgramFailed(error.message.removeprefix(f"{shown} "), hint=hint) from error
