"""The shell: an error becomes a message, a hint and an exit code, and a traceback only on request."""

import errno
import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from larva import cli, output

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


@click.command()
@click.option("--hidden", is_flag=True)
def asks(*, hidden: bool) -> None:
    """Asks before it does something."""
    if hidden:
        click.prompt("Password", hide_input=True)
    click.confirm("Delete it?", abort=True)


@pytest.mark.parametrize("words", [[], ["--hidden"]])
@pytest.mark.filterwarnings("ignore::getpass.GetPassWarning")
def test_a_question_that_nobody_can_answer_names_the_option_that_does(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(cli.larva, "get_command", lambda _context, _name: asks)
    monkeypatch.setattr(sys, "argv", ["larva", "asks", *words])
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    monkeypatch.setattr("click.termui.hidden_prompt_func", input)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "standard input has ended" in told
    assert "--yes" in told


def test_a_no_stops_and_is_no_error_of_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(cli.larva, "get_command", lambda _context, _name: asks)
    monkeypatch.setattr(sys, "argv", ["larva", "asks"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "larva: stopped\n"


def test_a_disk_that_refuses_is_no_defect_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/var/lib/larva/member.toml")

    monkeypatch.setattr(cli, "larva", SimpleNamespace(main=full))
    monkeypatch.delenv("LARVA_DEBUG", raising=False)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 74
    told = capsys.readouterr().err
    assert "/var/lib/larva/member.toml: No space left" in told
    assert "hint: the disk is full" in told
    assert "defect" not in told


def test_what_others_wrote_cannot_steer_the_terminal(capsys: pytest.CaptureFixture) -> None:
    output.show_table(["region"], [["\x1b[2J\x1b]0;owned\x07\u202eleft\nright"]])
    shown = capsys.readouterr().out
    assert "\\x1b[2J" in shown
    assert not any(char in shown for char in "\x1b\x07\u202e")


@pytest.mark.parametrize("words", [["net", "list"], ["net", "hosts", "x"], ["controller"]])
def test_a_command_loads_no_library_of_another(words: list[str]) -> None:
    script = f"import sys; from larva.cli import larva; larva.main({[*words, '--help']}, standalone_mode=False); "
    script += "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert not {"flask", "cryptography", "pyroute2", "rich"} & set(done.stdout.splitlines()[-1].split())
