"""Virtual machines as they are planned: QEMU's words, their ports, their seeds, what a lab with them needs."""

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from images import firmware
from images.clouds.lab import network, preflight, qemu, seed, topology, topology_check, topology_toml
from images.clouds.lab.lab import Lab
from images.clouds.lab.qemu import Hypervisor
from images.clouds.lab.topology import Host, Kind, Topology
from images.demo.cli import up
from images.firmware import Firmware
from larva.errors import HostUnfit, InvalidInput, MalformedData

PLAN = topology_toml.virtual()
NAMES = network.Names("run1")
HYPERVISOR = Hypervisor(image=Path("/i/disk.qcow2"), accelerator="tcg,tb-size=128", cpu="max", cpus=1)


def cable(host: Host, plan: Topology = PLAN) -> network.Cable:
    return network.cable(NAMES, plan, host, Path("/run"))


def command(host: Host) -> list[str]:
    return qemu.command(
        host, HYPERVISOR, directory=Path("/d"), cable=cable(host), console=Path("/c"), flash=["if=pflash,file=/f"]
    )


def test_the_shipped_topology_has_one_in_each_cloud_each_with_another_firmware() -> None:
    assert [host.cloud for host in PLAN.virtual] == [cloud.name for cloud in PLAN.clouds] == ["aws", "gcp", "azure"]
    assert {host.firmware for host in PLAN.virtual} == set(Firmware)
    assert [host.name for host in PLAN.hosts if not host.is_vm] == ["control"]
    assert (PLAN.clouds, PLAN.rtt) == (topology_toml.default().clouds, topology_toml.default().rtt)
    assert topology_toml.default().virtual == ()


def test_its_disks_are_found_by_their_names() -> None:
    host = PLAN.host("aws-1")
    assert host.devices == (Path("/dev/disk/by-id/virtio-osd0"),)
    assert replace(host, kind=Kind.LIGHT).devices == (Path("/var/lib/larva/disks/osd0.img"),)
    words = command(host)
    assert "virtio-blk-pci,drive=disk-osd0,serial=osd0" in words
    assert any("file=/d/osd0.img,format=raw" in word for word in words)


def test_it_boots_its_root_disk_and_finds_the_seed_on_a_virtio_disk() -> None:
    words = command(PLAN.host("aws-1"))
    assert "virtio-blk-pci,drive=disk-root,serial=root,bootindex=0" in words
    assert sum("bootindex" in word for word in words) == 1
    (drive,) = [word for word in words if "seed.img" in word]
    assert "readonly=on" in drive
    assert "virtio-blk-pci,drive=disk-seed,serial=seed" in words
    assert not any("ahci" in word or "cdrom" in word or "/i/disk.qcow2" in word for word in words)


def test_what_was_flushed_outlives_a_pulled_plug() -> None:
    (root,) = [word for word in command(PLAN.host("aws-1")) if "root.qcow2" in word]
    assert "cache=writeback" in root


def test_a_port_is_in_the_gateway_and_carries_the_same_address_as_the_machine_s_card() -> None:
    host = PLAN.host("gcp-1")
    plug = cable(host)
    assert plug.namespace == plug.gateway == "larva-run1-gw-gcp"
    assert list(network.tap_port(PLAN.cloud("gcp"), 2)) == [
        "tuntap add dev h2 mode tap", "link set h2 mtu 1500 master lan up",
    ]  # fmt: skip
    assert plug.port == "h2"
    assert f"virtio-net-pci,netdev=net0,mac={plug.mac},host_mtu=1500" in command(host)
    macs = [cable(one).mac for one in PLAN.hosts]
    assert len(set(macs)) == len(macs)


def test_cables_of_both_kinds_write_down_how_they_are_plugged_in(tmp_path: Path) -> None:
    for name, wanted in (("gcp-1", "tuntap"), ("control", "veth")):
        plug = network.cable(NAMES, PLAN, PLAN.host(name), tmp_path)
        plug.write(NAMES, PLAN, PLAN.host(name))
        assert wanted in plug.port_file.read_text()


def test_the_script_has_all_that_it_reads() -> None:
    found = qemu.environment(cable(PLAN.host("aws-1")), Path("/group"))
    assert set(re.findall(r"\$([A-Z_]+)", qemu.SUPERVISE)) <= found.keys()


def test_its_network_is_told_as_a_provider_would() -> None:
    host = PLAN.host("azure-1")
    told = qemu.network_config(host, PLAN.cloud("azure"), cable(host))
    assert json.loads(json.dumps(told))["ethernets"]["eth0"] == {
        "match": {"macaddress": cable(host).mac}, "set-name": "eth0", "addresses": ["10.0.0.4/24"],
        "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}],
    }  # fmt: skip


def test_the_seed_holds_what_cloud_init_looks_for_and_nobody_else_reads_it(tmp_path: Path) -> None:
    image = tmp_path / "seed.img"
    seed.write_disk(image, meta_data="instance-id: i-1\n", user_data="#cloud-config\n{token: secret}\n")
    assert image.stat().st_mode & 0o777 == 0o600
    for name, wanted in (("meta-data", "instance-id: i-1\n"), ("user-data", "#cloud-config\n{token: secret}\n")):
        words = ["mcopy", "-i", image, f"::{name}", "-"]
        assert subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout == wanted
    label = subprocess.run(["mlabel", "-s", "-i", image], capture_output=True, text=True, check=True, timeout=30)
    assert "CIDATA" in label.stdout


def test_firmware_keeps_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firmware, "DIRECTORY", tmp_path / "ovmf")
    (tmp_path / "ovmf").mkdir()
    for name in ("OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.ms.fd"):
        (tmp_path / "ovmf" / name).write_text("new")
    drives = firmware.drives(Firmware.SECURE_BOOT, tmp_path)
    (tmp_path / firmware.VARIABLES).write_text("written")
    assert firmware.drives(Firmware.SECURE_BOOT, tmp_path) == drives
    assert (tmp_path / firmware.VARIABLES).read_text() == "written"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"memory_mib": 100}, r"hosts\[1\]\.memory_mib: 100 is not between"),
        (
            {"disks": (topology.Disk(name="d" * 21, size="1GiB"),)},
            r"hosts\[1\]\.disks\[0\]\.name: .* is longer",
        ),
    ],
)
def test_a_machine_that_cannot_be(change: dict[str, object], named: str) -> None:
    hosts = tuple(replace(host, **change) if host.name == "aws-1" else host for host in PLAN.hosts)  # type: ignore[arg-type]
    with pytest.raises(MalformedData, match=named):
        topology_check.check(replace(PLAN, hosts=hosts), source="t")


def test_memory_is_asked_for_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.process, "require_programs", lambda *_: None)
    monkeypatch.setattr(preflight, "available_mib", lambda _: 4031)
    with pytest.raises(HostUnfit, match="take 4032 MiB of memory, and 4031 MiB are available"):
        preflight.check_virtual(PLAN)
    monkeypatch.setattr(preflight, "available_mib", lambda _: 4032)
    preflight.check_virtual(PLAN)


def test_available_memory_is_read_from_the_kernel_s_words() -> None:
    assert preflight.available_mib("MemTotal: 1 kB\nMemAvailable:    2097152 kB\n") == 2048


def test_a_lab_of_virtual_machines_needs_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "check", lambda *_: None)
    monkeypatch.setenv("LARVA_CACHE", str(tmp_path))
    with pytest.raises(InvalidInput, match="no image's disk"):
        Lab.create(PLAN, tmp_path, "vm1")
    assert "vm1" not in {lab.run_id for lab in Lab.all()}


def test_a_topology_says_itself_what_its_hosts_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    done = CliRunner().invoke(up, ["--vm", "--topology", str(tmp_path / "t.toml")])
    assert done.exit_code == 2
    assert "not both" in done.output
