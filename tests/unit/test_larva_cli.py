"""The shell: an error becomes a message, a hint and an exit code, and a traceback only on request."""

import subprocess
import sys
from pathlib import Path

LARVA = Path(sys.executable).parent / "larva"


def larva(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LARVA, *words], capture_output=True, text=True, timeout=60, check=False)


def test_help_lists_the_commands() -> None:
    done = larva("--help")
    assert done.returncode == 0
    assert "bench" in done.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    done = larva("no-such-command")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_error_has_a_hint_and_a_code() -> None:
    done = larva("bench", "no-such-bench")
    assert done.returncode == 66
    assert "no-such-bench" in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in larva("--debug", "bench", "no-such-bench").stderr
