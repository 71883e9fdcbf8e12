"""How VMs are launched: what every provider's way holds, and that the shell takes it as it stands."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from web import launches

COUNT = 7
WAYS = launches.of_providers(COUNT)
LEAST_GIB = {"alibaba": 20, "oci": 50}
"""The smallest root disk that a provider takes, where that is more than we need."""
DISK = re.compile(r"(?:SystemDisk\.Size|system_disk_size|boot[-_]volume[-_]size[-_]in[-_]gbs)[ =]+(\d+)")
JOIN = 'roles = ["member"]\n[join]\ntoken = "it\'s $HOME"\n'


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.provider)
def test_every_way_takes_the_user_data_and_the_number(way: launches.Launch) -> None:
    for text in filter(None, (way.command, way.terraform)):
        assert "user-data.yaml" in text
        assert str(COUNT) in text
        assert "${count}" not in text
        assert "${gib}" not in text
    assert launches.table()[way.provider].sources


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.provider)
def test_the_shell_reads_every_command(way: launches.Launch) -> None:
    subprocess.run(["bash", "-n"], input=way.command, text=True, check=True, timeout=10)
    assert not re.search(r"\\\s+\n", way.command), "a backslash that ends no line"
    assert way.terraform.count("{") == way.terraform.count("}")


def test_a_single_host_is_launched_too() -> None:
    (azure,) = (way for way in launches.of_providers(1) if way.provider == "azure")
    assert "$(seq 1)" in azure.command
    assert "--count" not in azure.command, "az takes 2 to 250"


@pytest.mark.parametrize("provider", LEAST_GIB)
def test_no_root_disk_is_smaller_than_its_provider_takes(provider: str) -> None:
    (way,) = (way for way in WAYS if way.provider == provider)
    for text in (way.command, way.terraform):
        (gib,) = DISK.findall(text)
        assert int(gib) >= LEAST_GIB[provider]
    body = json.loads(launches.tumblebug(JOIN, "/join.toml", COUNT))
    assert body["nodeGroups"][0]["rootDiskSize"] >= LEAST_GIB[provider], "which goes to any of them"


def test_providers_that_are_known_to_terraform_are_shown_in_it() -> None:
    assert {way.provider for way in WAYS if not way.terraform} == {"kvm"}
    assert "-${count.index + 1}" in next(way.terraform for way in WAYS if way.provider == "gcp")


def test_tumblebugs_command_puts_the_join_file_in_its_place(tmp_path: Path) -> None:
    place = tmp_path / "larva" / "join.toml"
    body = json.loads(launches.tumblebug(JOIN, str(place), COUNT))
    assert body["nodeGroups"][0]["nodeGroupSize"] == COUNT
    (phase,) = body["postCommands"]
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, does in (("sudo", 'exec "$@"'), ("systemctl", f'echo "$@" > {tmp_path}/asked')):
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euc", *phase["command"]], env=environment, check=True, timeout=10)
    assert place.read_text() == JOIN
    assert place.stat().st_mode & 0o777 == 0o600
    assert "larva-boot.service" in (tmp_path / "asked").read_text()
