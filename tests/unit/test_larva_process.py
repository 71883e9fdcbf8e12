"""Programs: their last lines when they fail, a bound on their time, nothing of a secret."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from larva.errors import HostUnfit, ProgramFailed, TimedOut
from larva.process import require_programs, run


def test_output_and_input() -> None:
    assert run(["cat"], input=b"hello") == "hello"


def test_a_failure_shows_the_last_lines() -> None:
    with pytest.raises(ProgramFailed, match="code 3") as caught:
        run(["sh", "-c", "seq 1 100 >&2; exit 3"])
    assert "100" in caught.value.message
    assert "\n85\n" not in caught.value.message


def test_a_secret_command_shows_nothing() -> None:
    with pytest.raises(ProgramFailed) as caught:
        run(["sh", "-c", "echo hunter2 >&2; exit 1"], secret=True)
    assert "hunter2" not in str(caught.value)


def test_a_missing_program_and_a_slow_one() -> None:
    with pytest.raises(HostUnfit, match="no-such-program"):
        run(["no-such-program"])
    with pytest.raises(TimedOut):
        run(["sleep", "60"], timeout=0.1)
    with pytest.raises(HostUnfit, match="no-such-program"):
        require_programs("sh", "no-such-program")


def test_a_log_file_receives_the_output(tmp_path: Path) -> None:
    sink = tmp_path / "log"
    assert run(["echo", "one"], log_file=sink) == ""
    with pytest.raises(ProgramFailed, match="two"):
        run(["sh", "-c", "echo two; exit 1"], log_file=sink)
    assert sink.read_text() == "one\ntwo\n"


@pytest.mark.parametrize("code", [errno.ENOMEM, errno.EAGAIN, errno.EACCES, errno.EMFILE, errno.EPERM])
def test_a_machine_that_starts_no_process_is_told(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(subprocess, "Popen", refused)
    with pytest.raises(HostUnfit, match=f"cannot run true: {os.strerror(code)}") as caught:
        run(["true"])
    assert caught.value.hint or code == errno.EPERM


def test_what_is_no_program_is_told(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    with pytest.raises(HostUnfit, match="Permission denied") as caught:
        run([plain])
    assert "permissions" in caught.value.hint
    plain.chmod(0o755)
    with pytest.raises(HostUnfit, match="Exec format error"):
        run([plain])


def test_a_missing_directory_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(HostUnfit, match=r"cannot run true in .*nowhere") as caught:
        run(["true"], cwd=tmp_path / "nowhere")
    assert "make setup" not in caught.value.hint
    with pytest.raises(FileNotFoundError):
        run(["true"], log_file=tmp_path / "nowhere" / "log")
