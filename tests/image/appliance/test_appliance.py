"""What every image must hold, asked by testinfra of the tree (chroot) and of the booted machine (ssh)."""

import json
from typing import Any

import pytest

pytestmark = pytest.mark.image


@pytest.mark.parametrize(
    "name",
    ["larva", "ceph-common", "ceph-fuse", "python3-rados", "python3-cephfs", "wireguard-go", "nftables", "cloud-init",
     "openssh-server", "chrony", "linux-image-cloud-amd64"],
)  # fmt: skip
def test_package_is_installed(host: Any, name: str) -> None:
    assert host.package(name).is_installed


def test_every_package_is_configured(host: Any) -> None:
    assert host.check_output("dpkg --audit") == ""


@pytest.mark.parametrize(
    "unit",
    ["larva-boot", "larva-firewall", "ssh", "chrony", "systemd-networkd", "systemd-resolved", "cloud-init-network"],
)
def test_unit_is_enabled(host: Any, unit: str) -> None:
    assert host.run(f"systemctl is-enabled {unit}.service").stdout.strip() == "enabled"


@pytest.mark.parametrize(
    "unit",
    ["larva-etcd", "larva-controller", "larva-console", "larva-agent", "larva-storage", "nftables", "rbdmap"],
)  # fmt: skip
def test_unit_waits_for_its_role(host: Any, unit: str) -> None:
    assert host.run(f"systemctl is-enabled {unit}.service").stdout.strip() == "disabled"


@pytest.mark.parametrize(
    "unit", ["larva-boot", "larva-etcd", "larva-agent", "larva-storage", "larva-firewall", "larva-renew"]
)
def test_unit_is_well_formed(host: Any, running: None, unit: str) -> None:
    done = host.run(f"SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --recursive-errors=no {unit}.service")
    assert done.rc == 0
    assert "Unknown" not in done.stderr


def test_larva_runs_on_its_own_environment(host: Any) -> None:
    assert host.check_output("larva --version")
    place = host.check_output("/usr/lib/larva/bin/python3 -I -c 'import larva; print(larva.__file__)'")
    assert place.startswith("/usr/lib/larva/lib/")


@pytest.mark.parametrize("module", ["rados", "cephfs", "etcd3", "pyroute2", "flask", "nacl", "cryptography.x509"])
def test_module_can_be_imported(host: Any, module: str) -> None:
    assert host.run(f"/usr/lib/larva/bin/python3 -I -c 'import {module}'").rc == 0


def test_every_command_loads(host: Any) -> None:
    code = (
        "import json\n"
        "from importlib.metadata import entry_points\n"
        "points = entry_points(group='larva.commands')\n"
        "print(json.dumps({p.name: type(p.load()).__name__ for p in points}))"
    )
    loaded = json.loads(host.check_output(f'/usr/lib/larva/bin/python3 -I -c "{code}"'))
    assert "bench" in loaded
    assert not {"image", "demo"} & loaded.keys()


def test_the_firewall_refuses_what_it_does_not_know(host: Any, running: None) -> None:
    rules = host.check_output("nft list chain inet larva input")
    assert "policy drop" in rules
    assert "cbnet" in rules


def test_the_firewall_is_not_open_to_the_control_plane_without_the_role(host: Any) -> None:
    assert not host.file("/etc/larva/nftables.d/control.nft").exists
    assert host.file("/usr/share/larva/nftables/control.nft").exists


def test_only_etcd_passes_through_the_state(host: Any) -> None:
    state = host.file("/var/lib/larva")
    assert (state.user, state.mode) == ("root", 0o711)


@pytest.mark.parametrize("unit", ["ssh", "chrony", "larva-firewall", "systemd-networkd", "systemd-resolved"])
def test_service_runs(host: Any, running: None, unit: str) -> None:
    assert host.service(unit).is_running


def test_nothing_failed(host: Any, running: None) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


def test_only_ssh_listens_to_the_world(host: Any, running: None) -> None:
    listening = {
        socket for socket in host.socket.get_listening_sockets() if "127." not in socket and "::1" not in socket
    }
    assert {socket for socket in listening if socket.startswith("tcp")} <= {
        "tcp://0.0.0.0:22",
        "tcp://:::22",
        "tcp://22",
    }


def test_root_file_system_grew(host: Any, running: None) -> None:
    disk = int(host.check_output("blockdev --getsize64 $(findmnt -no SOURCE / | sed 's/p\\?[0-9]*$//')"))
    root = int(host.check_output("findmnt --noheadings --bytes --output SIZE /"))
    assert root > disk * 0.8


@pytest.mark.parametrize("module", ["wireguard", "ceph", "nf_tables", "tun", "vxlan", "dm_crypt"])
def test_kernel_module_loads(host: Any, running: None, module: str) -> None:
    assert host.run(f"modprobe {module}").rc == 0


def test_an_osd_can_be_encrypted(host: Any, running: None) -> None:
    if not host.package("ceph-osd").is_installed:
        pytest.skip("keeps no data of others")
    code = "from cbstorage.host import dmcrypt; dmcrypt.require()"
    assert host.run(f"/usr/lib/larva/bin/python3 -I -c '{code}'").rc == 0
