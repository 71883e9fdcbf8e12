"""Recipes and where their packages come from."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from images import base, deb, layin, mirror, recipe, tree
from larva.errors import HostUnfit, MalformedData, NotFound


@pytest.mark.parametrize("profile", recipe.profiles())
def test_recipe_is_sound(profile: str) -> None:
    found = recipe.load(profile)
    assert found.name == profile
    for words in (found.packages, found.enable, found.disable, found.mask):
        assert len(set(words)) == len(words)
    assert not set(found.enable) & {*found.disable, *found.mask}


def test_full_holds_all_that_a_member_has() -> None:
    assert set(recipe.load("member").packages) < set(recipe.load("full").packages)


def test_unknown_profile_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        recipe.load("nothing")
    assert "full" in caught.value.hint
    assert "member" in caught.value.hint
    with pytest.raises(NotFound):
        recipe.load("../full")


def test_malformed_recipe_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text('name = "odd"\nsuite = "trixie"\npython = "3.13"\nepoch = "soon"\n')
    with pytest.raises(MalformedData, match=r"odd\.toml.*epoch|odd\.toml.*disk_mib"):
        recipe.load("odd", tmp_path)


def test_command_holds_every_package_and_pattern() -> None:
    full = recipe.load("full")
    argv = base.mmdebstrap(full, Path("/lay/in"))
    (included,) = [word for word in argv if word.startswith("--include=")]
    assert set(included.removeprefix("--include=").split(",")) == set(full.packages)
    assert sum(word.startswith("--dpkgopt=path-exclude=") for word in argv) == len(full.exclude)
    assert "--essential-hook=sync-in /lay/in /" in argv


@pytest.mark.parametrize("profile", recipe.profiles())
def test_a_machine_gets_its_updates_from_debian_wherever_the_image_was_built(profile: str) -> None:
    lines = (tree.APPLIANCE_FILES / "etc/apt/sources.list").read_text().splitlines()
    words = [line.split() for line in lines if not line.startswith("#")]
    suite = recipe.load(profile).suite
    assert [word[2] for word in words] == [suite, f"{suite}-updates", f"{suite}-security"]
    for kind, url, _, *components in words:
        assert (kind, components) == ("deb", ["main"])
        assert re.fullmatch(r"http://\w+\.debian\.org/debian(-security)?", url)


@pytest.mark.parametrize("profile", recipe.profiles())
def test_no_shared_library_nor_loader_of_other_packages_is_left_out(profile: str) -> None:
    """What dpkg calls installed and is not there breaks packages that are installed later."""
    others = (
        "/usr/lib/x86_64-linux-gnu/libicuuc.so.76",
        "/usr/lib/x86_64-linux-gnu/libicudata.so.76",
        "/usr/bin/ld.so",
    )
    for pattern in recipe.load(profile).exclude:
        assert not [place for place in others if fnmatch(place, pattern)]


LISTING = """
http://mirror.example/debian bookworm
http://mirror.example/debian bookworm-updates
http://security.example/debian-security bookworm-security
https://vendor.example/node nodistro
"""


def test_mirror_is_the_hosts_own() -> None:
    assert mirror.choose(LISTING) == ("http://mirror.example/debian", "http://security.example/debian-security")


def test_other_archives_are_no_mirror() -> None:
    assert mirror.choose("https://vendor.example/x nodistro\nhttp://ubuntu.example/ubuntu noble\n") == ("", "")


def test_environment_wins() -> None:
    found = mirror.of_this_host({mirror.MAIN_VARIABLE: "http://a/debian/", mirror.SECURITY_VARIABLE: "http://b/sec"})
    assert found.sources("trixie") == (
        "deb http://a/debian trixie main",
        "deb http://a/debian trixie-updates main",
        "deb http://b/sec trixie-security main",
    )


def test_mirror_list_is_resolved(tmp_path: Path) -> None:
    names = tmp_path / "debian.list"
    names.write_text("# ours\nhttp://first.example/debian priority:1\nhttp://second.example/debian\n")
    environment = {mirror.MAIN_VARIABLE: f"mirror+file:{names}", mirror.SECURITY_VARIABLE: "http://b/sec"}
    assert mirror.of_this_host(environment).main == "http://first.example/debian"


def test_host_without_debian_gets_a_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "apt-get"
    program.write_text("#!/bin/sh\necho 'http://ubuntu.example/ubuntu noble'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(HostUnfit) as caught:
        mirror.of_this_host({})
    assert mirror.MAIN_VARIABLE in caught.value.hint


def programs_of_our_code() -> set[str]:
    """The first word of every list of words in what runs on an appliance and in the demo, and what is looked for."""
    found: set[str] = set()
    files = [file for room in (*deb.PACKAGES, "images/demo") for file in (layin.SOURCES / room).rglob("*.py")]
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
        if isinstance(node, ast.List | ast.Tuple):
            found.update(first.value for first in node.elts[:1] if isinstance(first, ast.Constant) and first.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("require_programs", "which")):
            found.update(one.value for one in node.args if isinstance(one, ast.Constant) and one.value)
    return {word for word in found if isinstance(word, str) and " " not in word}


@pytest.mark.parametrize("profile", recipe.profiles())
def test_no_program_that_we_run_is_left_out(profile: str) -> None:
    of_services = {"ceph-bluestore-tool", "monmaptool", "osdmaptool", "crushtool", "etcd", "smbd"}
    words = programs_of_our_code()
    assert of_services <= words
    patterns = [one for one in recipe.load(profile).exclude if one.startswith(("/usr/bin/", "/usr/sbin/"))]
    left_out = {
        word for word in words for pattern in patterns for place in ("/usr/bin", "/usr/sbin")
        if fnmatch(f"{place}/{word}", pattern)
    }  # fmt: skip
    assert left_out == set()
