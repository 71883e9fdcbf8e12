"""Waiting for a machine's login prompt, with programs that stand for QEMU; and what the plain disk is made of."""

import os
import sys
from pathlib import Path

import pytest

from images import base, lock, login, plain, recipe
from images.accelerator import TCG
from larva.errors import ProgramFailed, TimedOut


def machine(code: str) -> list[str]:
    return [sys.executable, "-I", "-u", "-c", code]


def test_a_prompt_that_comes_in_pieces_is_seen_and_the_machine_switched_off(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import os, time; from pathlib import Path; "
        f"Path({str(pid)!r}).write_text(str(os.getpid())); "
        "os.write(1, b'Debian bake ttyS0\\n\\nbake log'); time.sleep(0.2); os.write(1, b'in: '); time.sleep(600)"
    )
    assert login.watch(machine(code), timeout=60) > 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_machine_that_ends_before_it_asks_is_told_with_its_last_words() -> None:
    with pytest.raises(ProgramFailed, match="Kernel panic"):
        login.watch(machine("print('Kernel panic')"), timeout=60)


def test_a_silent_machine_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(TimedOut, match="no login"):
        login.watch(machine("import time; time.sleep(600)"), timeout=0.3)


def test_the_machine_has_both_disks_and_its_console_is_read() -> None:
    words = login.command(Path("/x/disk.qcow2"), Path("/x/seed.img"), TCG)
    drives = [words[at + 1] for at, word in enumerate(words) if word == "-drive"]
    assert [drive.partition(",")[0] for drive in drives] == ["file=/x/disk.qcow2", "file=/x/seed.img"]
    assert words[words.index("-serial") + 1] == "stdio"


@pytest.mark.parametrize("profile", recipe.profiles())
def test_the_plain_disk_has_the_same_packages_whole_with_the_units_that_debian_enables(profile: str) -> None:
    ours = recipe.load(profile)
    found = plain.of(ours)
    assert lock.asked(found) == lock.asked(ours)
    assert found.name != ours.name
    assert {found.exclude, found.include, found.enable, found.disable, found.mask} == {()}
    assert not [word for word in base.mmdebstrap(found, None) if word.startswith(("--dpkgopt", "--essential-hook"))]
