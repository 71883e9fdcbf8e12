"""What only virtual machines show: the kernel's WireGuard, the kernel's Ceph client, and how each was started."""

import json

from images.clouds.lab.topology import Host
from images.demo.story import Step, Story
from images.demo.up import MOUNT_POINT, VOLUME, Demo
from images.firmware import Firmware

HANDSHAKE_S = 120
MOUNT_S = 120
HEALTH_S = 240
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
"""Four bytes of attributes, then whether the firmware checks what it starts (UEFI specification, 3.3)."""
_FIRMWARE = f"""
if test ! -d /sys/firmware/efi; then echo {Firmware.BIOS}
elif test "$(od -An -tu1 -j4 -N1 {_SECURE_BOOT} | tr -d ' ')" = 1; then echo {Firmware.SECURE_BOOT}
else echo {Firmware.UEFI}; fi
"""


def network_in_the_kernel(story: Story, demo: Demo) -> None:
    """Tell that every virtual machine was started as told, on its own kernel, and that the mesh is in that kernel.

    Raises:
        NotProved: something of it does not hold.
    """
    with story.step("each VM runs a kernel of its own, started by the firmware it was given") as step:
        for host in demo.topology.virtual:
            started = demo.run(host.name, ["sh", "-c", _FIRMWARE]).strip()
            kernel = demo.run(host.name, ["uname", "-r"]).strip()
            step.saw(f"{host.name}: Linux {kernel}, {started}")
            step.require(started == host.firmware, f"{host.name} was started by {host.firmware}")
    with story.step("the mesh is the kernel's WireGuard in every VM") as step:
        for host in demo.topology.virtual:
            _wireguard(step, demo, host)


def volume_in_the_kernel(story: Story, demo: Demo) -> None:
    """Tell that the kernel's Ceph client has the volume mounted in every virtual machine, and that Ceph is well."""
    with story.step(f"{VOLUME} is mounted by the kernel's Ceph client in every VM") as step:
        for host in demo.topology.virtual:
            demo.wait_until(
                f"{host.name} has it mounted by its kernel",
                lambda host=host: bool(_mount(demo, host)),  # type: ignore[misc]
                timeout_s=MOUNT_S,
            )
            step.saw(f"{host.name}: {_mount(demo, host)}")
    with story.step("Ceph is well") as step:
        where = demo.storage[0].name
        demo.wait_until("HEALTH_OK", lambda: _health(demo, where) == "HEALTH_OK", timeout_s=HEALTH_S)
        step.saw(_health(demo, where))


def _wireguard(step: Step, demo: Demo, host: Host) -> None:
    links = json.loads(demo.run(host.name, ["ip", "-json", "-details", "link", "show", "type", "wireguard"]))
    names = [link["ifname"] for link in links if link]
    step.require(names, f"{host.name} has an interface of the kernel's WireGuard")
    engines = demo.run(host.name, ["sh", "-c", "pgrep --count --exact wireguard-go || true"]).strip()
    step.require(engines == "0", f"{host.name} runs no user-space engine")
    others = len(demo.topology.hosts) - 1

    def greeted() -> list[str]:
        lines = demo.run(host.name, ["wg", "show", names[0], "latest-handshakes"]).split("\n")
        return [line for line in lines if line and line.split()[1] != "0"]

    demo.wait_until(f"{host.name} has greeted every peer", lambda: len(greeted()) == others, timeout_s=HANDSHAKE_S)
    step.saw(f"{host.name}: {names[0]} of kind wireguard, handshakes with {len(greeted())} peers, no wireguard-go")


def _mount(demo: Demo, host: Host) -> str:
    """Source and options of the kernel's mount on a host; empty without one."""
    words = ["sh", "-c", f"findmnt --noheadings --types ceph --output SOURCE,OPTIONS {MOUNT_POINT} || true"]
    return " ".join(demo.run(host.name, words).split())


def _health(demo: Demo, host: str) -> str:
    said = demo.run(host, ["ceph", "--connect-timeout", "30", "health", "--format", "json"], timeout=60)
    found = json.loads(said)
    return " ".join([found["status"], *sorted(found["checks"])])
