"""How exposed our units are, as systemd-analyze(1) reckons it, and what their sandboxes must leave them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from images import deb

UNITS = deb.PACKAGE_FILES / "usr/lib/systemd/system"
BARS = {
    "larva-agent": 2.5, "larva-backup": 2.0, "larva-boot": 2.5, "larva-console": 2.1, "larva-controller": 2.0,
    "larva-etcd": 1.6, "larva-firewall": 2.0, "larva-renew": 2.5, "larva-smb": 3.0, "larva-storage": 6.7,
    "larva-update": 9.5,
}  # fmt: skip
"""The most that each may be exposed, 10 being everything; docs/security.md says why two are above 3."""
MOUNT_NAMESPACE = (
    "Private", "Protect", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "BindPaths", "TemporaryFileSystem",
    "RootDirectory", "RootImage", "MountFlags", "DynamicUser",
)  # fmt: skip
"""How the settings begin that give a unit a mount namespace of its own, from which no mount comes out."""


def settings(unit: Path) -> list[tuple[str, str]]:
    lines = [line.partition("=") for line in unit.read_text().splitlines() if line[:1].isalpha()]
    return [(name, value) for name, _, value in lines]


def exposure(unit: Path) -> float:
    """What systemd-analyze says of a unit file, whatever runs on this machine."""
    if shutil.which("systemd-analyze") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("systemd-analyze is not installed: run `make setup`")
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    return float(told.rpartition("exposure level for ")[2].split()[1])


def test_every_service_has_its_bar() -> None:
    assert {unit.stem for unit in UNITS.glob("larva-*.service")} == BARS.keys()


@pytest.mark.parametrize(("name", "bar"), BARS.items())
def test_unit_is_no_more_exposed_than_it_must_be(name: str, bar: float) -> None:
    assert exposure(UNITS / f"{name}.service") <= bar


def test_a_unit_without_a_sandbox_would_be_seen(tmp_path: Path) -> None:
    bare = tmp_path / "larva-bare.service"
    bare.write_text("[Service]\nExecStart=/usr/bin/larva agent\n")
    assert exposure(bare) > 9


def test_what_storage_mounts_is_mounted_on_the_machine() -> None:
    names = [name for name, _ in settings(UNITS / "larva-storage.service")]
    assert not [name for name in names if name.startswith(MOUNT_NAMESPACE)]


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("larva-agent", {"PrivateDevices", "PrivateNetwork"}),  # /dev/net/tun, the machine's network
        ("larva-smb", {"ProtectHome", "PrivateMounts"}),  # volumes may be mounted in /home, and later
    ],
)
def test_a_unit_sees_what_it_serves(name: str, hidden: set[str]) -> None:
    assert not {setting for setting, _ in settings(UNITS / f"{name}.service")} & hidden
