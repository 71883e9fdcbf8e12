"""The house itself: imports go down one way, and the linters and the type checker find nothing."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
MAY_IMPORT = {
    "larva": set(),
    "cladnet": {"larva"},
    "cbstorage": {"cladnet", "larva"},
    "web": {"cbstorage", "cladnet", "larva"},
    "images": {"larva"},
}


def imported_rooms(source: str) -> set[str]:
    """The rooms that a module imports, by any form of the import statement."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return {name.split(".")[0] for name in names} & MAY_IMPORT.keys()


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_down_one_way(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room}
    wrong = {
        str(path.relative_to(HOUSE)): sorted(extra)
        for path in (HOUSE / room).rglob("*.py")
        if (extra := imported_rooms(path.read_text()) - allowed)
    }
    assert not wrong


def test_an_upward_import_would_be_seen() -> None:
    assert imported_rooms("def f():\n    from web.app import x\n    import cladnet.etcd.store") == {"web", "cladnet"}


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "--no-cache", "."], ["ruff", "format", "--no-cache", "--check", "."], ["mypy"]],
    ids=["style", "format", "types"],
)
def test_linters_find_nothing(command: list[str]) -> None:
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run([program, *command[1:]], cwd=HOUSE, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_registry_and_no_foreign_path_in_the_house() -> None:
    forbidden = re.compile(r"deb\.debian\.org|pypi\.org|pythonhosted|registry\.npmjs|/(root|home/\w+)/\.(cache|local)/")
    tracked = subprocess.run(["git", "ls-files"], cwd=HOUSE, capture_output=True, text=True, timeout=30, check=True)
    found = [
        name
        for name in tracked.stdout.splitlines()
        if (HOUSE / name).is_file()
        and name not in {"tests/unit/test_house.py", "packer/appliance/etc/apt/sources.list"}
        and forbidden.search((HOUSE / name).read_text(errors="replace"))
    ]
    assert not found
