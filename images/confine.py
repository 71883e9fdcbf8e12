"""Run build programs so that nothing outlives the build: own process and mount namespaces, dead with their parent."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from larva import process

PREFIX = (
    "setpriv", "--pdeathsig", "KILL", "--",
    "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--",
)  # fmt: skip
"""Killing the build kills `unshare`, that kills the first process of the namespace, and the kernel kills the rest;
mounts made inside vanish with the namespace, so a left-over tree never holds a live mount."""

ENTER = Path(__file__).parent / "enter.sh"


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    log_file: Path | None = None,
) -> str:
    """Run `argv` like process.run, confined; needs root."""
    return process.run([*PREFIX, *argv], timeout=timeout, env=env, log_file=log_file)


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
    confinement: list[str | Path] = [*PREFIX[:-1], "--net", "--", "sh", ENTER, root, pairs]
    return process.run([*confinement, *argv], timeout=timeout, env={**fixed, **(env or {})}, log_file=log_file)
