"""Verify: pytest-testinfra looks at the tree (chroot) or at a booted machine (ssh); the same tests for both."""

import shlex
import sys
from pathlib import Path

from images import confine, layin

TESTS = layin.SOURCES / "tests" / "image" / "appliance"
TIMEOUT_S = 900.0
READ_ONLY = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; exec "$@"'


def pytest(*arguments: str) -> list[str]:
    """Return the command that runs the appliance's tests with testinfra's `arguments`."""
    return [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(layin.SOURCES),
        "-c", str(layin.SOURCES / "pyproject.toml"), *arguments, str(TESTS),
    ]  # fmt: skip


def check_tree(root: Path, log_file: Path | None = None) -> str:
    """Run the tests against a root tree, which is read-only meanwhile; return what pytest printed.

    Raises:
        ProgramFailed: a test failed; the message ends with pytest's summary.
    """
    command = pytest("--connection=chroot", f"--hosts={root}")
    return confine.run(
        ["sh", "-euc", READ_ONLY, "sh", root, *command], timeout=TIMEOUT_S,
        env={"PYTHONDONTWRITEBYTECODE": "1"}, log_file=log_file,
    )  # fmt: skip


def ssh_check(config: Path, key: Path) -> str:
    """Return the shell command that runs the tests against the machine that $HOST and $PORT name.

    Args:
        config: written for ssh(1): the machine is new, so its host key is known nowhere. (testinfra 10.2 accepts
            `--ssh-extra-args` and does not pass them on.)
        key: the private key that root of the machine accepts.
    """
    config.write_text(
        f"Host *\n  IdentityFile {key}\n  IdentitiesOnly yes\n  BatchMode yes\n"
        "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    )
    words = shlex.join(pytest(f"--ssh-config={config}"))
    return f'cd {shlex.quote(str(layin.SOURCES))} && {words} --hosts="ssh://root@$HOST:$PORT"'
