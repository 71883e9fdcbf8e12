"""How a virtual machine of a lab is run: the words that QEMU is started with, and what plugs it in."""

from dataclasses import dataclass
from pathlib import Path

from images.clouds.lab.network import HOST_INTERFACE, Cable
from images.clouds.lab.topology import Cloud, Host

PROGRAMS = ("qemu-system-x86_64", "qemu-img", "mkfs.vfat", "mcopy", "ssh")
OWN_MIB = 320
"""What QEMU takes beside the machine's memory: its buffer of translated code, and itself."""
ROOT_BYTES = 8 << 30
"""What the root disk is grown to, as a cloud does with a small image; sparse."""
ROOT, SEED = "root.qcow2", "seed.img"

SUPERVISE = """
set -u
unplug() { ip -netns "$GATEWAY" link delete "$PORT" 2>/dev/null; }
unplug
ip -netns "$GATEWAY" -batch "$PORT_FILE" || exit 1
code=0
(echo 0 >"$PAYLOAD/cgroup.procs" && exec nsenter --net="/run/netns/$GATEWAY" "$@") || code=$?
unplug
exit $code
"""
"""QEMU stands in the gateway's network, where the port is that it holds the other end of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypervisor:
    """What all virtual machines of a lab have in common."""

    image: Path
    """The image's disk; it is only read."""
    accelerator: str
    """QEMU's `-accel`."""
    cpu: str
    cpus: int

    @property
    def is_emulated(self) -> bool:
        """Whether every instruction is translated by software."""
        return self.accelerator.startswith("tcg")


def environment(cable: Cable, payload: Path) -> dict[str, str]:
    """Return what the script reads."""
    return {
        "GATEWAY": cable.gateway, "PORT": cable.port, "PORT_FILE": str(cable.port_file), "PAYLOAD": str(payload),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }  # fmt: skip


def command(
    host: Host, hypervisor: Hypervisor, *, directory: Path, cable: Cable, console: Path, flash: list[str]
) -> list[str]:
    """Return the words that start QEMU.

    Args:
        directory: the machine's disks.
        console: the file that its serial console is written to.
        flash: the firmware's drives.
    """
    words = [
        "qemu-system-x86_64", "-name", host.name, "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", "q35,sata=off,smbus=off,vmport=off", "-accel", hypervisor.accelerator,
        "-cpu", hypervisor.cpu, "-smp", str(hypervisor.cpus),
        "-m", str(host.memory_mib), "-serial", f"file:{console}", "-device", "virtio-rng-pci",
        "-netdev", f"tap,id=net0,ifname={cable.port},script=no,downscript=no",
        "-device", f"virtio-net-pci,netdev=net0,mac={cable.mac},host_mtu={cable.mtu}",
    ]  # fmt: skip
    for drive in flash:
        words += ["-drive", drive]
    # The root disk's qcow2 keeps tables in QEMU's memory until the machine flushes. The others are plain files: what
    # was written to them outlives QEMU.
    words += _disk("root", f"file={directory / ROOT},format=qcow2,cache=writeback", "bootindex=0")
    words += _disk("seed", f"file={directory / SEED},format=raw,readonly=on")
    for disk in host.disks:
        words += _disk(disk.name, f"file={directory / disk.path.name},format=raw,cache=unsafe")
    return words


def _disk(name: str, drive: str, *properties: str) -> list[str]:
    device = ",".join(["virtio-blk-pci", f"drive=disk-{name}", f"serial={name}", *properties])
    return ["-drive", f"if=none,id=disk-{name},discard=unmap,{drive}", "-device", device]


def network_config(host: Host, cloud: Cloud, cable: Cable) -> dict[str, object]:
    """Return cloud-init's network configuration (version 2): what a provider's DHCP would say.

    cloud-init 25.1 takes no `default` for a route's destination, unlike netplan.
    """
    card = {
        "match": {"macaddress": cable.mac}, "set-name": HOST_INTERFACE,
        "addresses": [f"{host.private}/{cloud.private.prefixlen}"],
        "routes": [{"to": "0.0.0.0/0", "via": str(cloud.gateway)}],
    }  # fmt: skip
    return {"version": 2, "ethernets": {HOST_INTERFACE: card}}
