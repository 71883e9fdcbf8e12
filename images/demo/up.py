"""Bring the demonstration up as a user would: launch VMs with user-data, then `larva …` on the control node."""

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from images import pipeline
from images.clouds.lab import leftovers, preflight
from images.clouds.lab.lab import Lab
from images.clouds.lab.topology import Host, Role, Topology
from images.demo.story import Story, wait_until
from images.demo.userdata import cloud_config, join_toml

PROFILE = "full"
CIDR = "192.168.10.0/26"
CLADNET = "demo"
VOLUME = "shared"
MOUNT_POINT = Path("/mnt/shared")
VOLUME_SIZE = "1G"
EMULATED_SLOWNESS = 6.0
"""Of three virtual machines without KVM on two processors, with room to spare."""
JOIN_NAMES = ("server", "servers", "ca", "token")
"""What join.toml says of the system to join."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A lab that runs the appliance, and how to speak to it."""

    lab: Lab

    @property
    def topology(self) -> Topology:
        """What the lab looks like."""
        return self.lab.topology

    @property
    def control(self) -> Host:
        """The host that founded the system."""
        return control_host(self.topology)

    @property
    def control_nodes(self) -> tuple[Host, ...]:
        """The hosts with the role control, the founder among them."""
        return tuple(host for host in self.topology.hosts if Role.CONTROL in host.roles)

    @property
    def storage(self) -> tuple[Host, ...]:
        """The hosts that give disks."""
        return tuple(host for host in self.topology.hosts if Role.STORAGE in host.roles and host.disks)

    @property
    def osd_count(self) -> int:
        """How many OSDs there have to be: one a disk."""
        return sum(len(host.disks) for host in self.storage)

    @property
    def slowness(self) -> float:
        """How much longer everything may take here than where processors are real."""
        return EMULATED_SLOWNESS if self.lab.is_emulated else 1.0

    def run(self, host: str, argv: Sequence[str], *, timeout: float = 60) -> str:
        """Run a program on a host and return what it prints; it has `timeout` s, more where machines are emulated."""
        return self.lab.machine(host).run(list(argv), timeout=timeout * self.slowness)

    def patience(self, seconds: float) -> str:
        """How long a command may be told to wait, where it waits for `seconds` among light machines."""
        return f"{seconds * self.slowness:.0f}"

    def wait_until(self, what: str, holds: Callable[[], bool], *, timeout_s: float) -> None:
        """Like `story.wait_until`; with more patience where machines are emulated, and looking more rarely."""
        wait_until(what, holds, timeout_s=timeout_s * self.slowness, every_s=0.5 * self.slowness)

    def larva(self, *words: str, timeout: float = 60) -> None:
        """Run `larva …` on the control node."""
        self.run(self.control.name, ["larva", *words], timeout=timeout)

    def ask(self, *words: str, timeout: float = 60) -> Any:
        """Run `larva … --json` on the control node and return what it prints, parsed."""
        return json.loads(self.run(self.control.name, ["larva", *words, "--json"], timeout=timeout))


def control_host(topology: Topology) -> Host:
    """The host that founds the system: the first with the role control; NotFound without one."""
    return next((host for host in topology.hosts if Role.CONTROL in host.roles), None) or topology.host("control")


def bring_up(topology: Topology, *, run_id: str | None = None, rtt: bool = False, story: Story | None = None) -> Demo:
    """Build what is missing, launch every host of the topology, and bring network, storage and volume up.

    Args:
        rtt: switch the topology's distances between the clouds on from the start.
        story: records the milestones.

    Raises:
        LarvaError: something did not come up; the lab is kept for a look when it had been built.
    """
    story = story if story is not None else Story()
    preflight.check_machine(topology, leftovers.data_root())  # the image may take minutes
    image = None
    if topology.virtual:
        with story.step("image: the disk is built, has passed its boot, and is what was signed") as step:
            image = pipeline.published_disk(PROFILE)
            step.saw(image.name)
    with story.step("image: the root tree is there"):
        tree = pipeline.tree(PROFILE)
    with story.step(f"lab: {len(topology.clouds)} clouds, an internet between them"):
        demo = Demo(Lab.create(topology, tree, run_id, image=image))
        if rtt:
            demo.lab.rtt(on=True)
    with story.step("control: the control node has founded the system and answers") as step:
        found(demo)
        group = demo.ask("net", "create", CIDR, "--name", CLADNET)["id"]
        demo.larva("net", "join", group, demo.control.name)
        step.saw(f"CLADNet {CLADNET} ({group}): {CIDR}")
    with story.step(f"hosts: {len(topology.hosts)} VMs launched with user-data only"):
        launch_others(demo, group)
    count = len(demo.control_nodes)
    clouds = len({host.cloud for host in demo.control_nodes})
    with story.step(f"control: {count} nodes in {clouds} clouds") as step:
        demo.wait_until("every control node is well", lambda: len(_well(demo)) == count, timeout_s=240)
        step.saw(*(f"{node['host']} at {node['address']}{' leads' * node['leader']}" for node in _well(demo)))
    with story.step("mesh: every VM reaches every other over cbnet0") as step:
        rows = wait_for_mesh(demo, group)
        step.saw(*latency_lines(rows))
    with story.step("storage: monitors in quorum"):
        demo.larva("storage", "init", "--group", group)
        demo.wait_until("quorum", lambda: _quorum(demo, group), timeout_s=180)
    with story.step("storage: an OSD in every cloud, up and in") as step:
        demo.wait_until("every OSD up and in", lambda: len(osds_up(demo, group)) == demo.osd_count, timeout_s=240)
        step.saw(*(f"osd.{osd['id']} of {osd['host']} at {osd['addresses'][0]}" for osd in osds_up(demo, group)))
    with story.step(f"volume: {VOLUME} mounted at {MOUNT_POINT} on every VM"):
        words = ["--group", group, "--size", VOLUME_SIZE, "--wait", demo.patience(180)]
        demo.larva("volume", "create", VOLUME, *words, timeout=200)
        where = ["--group", group, "--all", "--at", str(MOUNT_POINT)]
        demo.larva("volume", "mount", VOLUME, *where, "--wait", demo.patience(120), timeout=140)
    return demo


def found(demo: Demo) -> None:
    """Launch the control node and wait until its API and etcd answer."""
    host = demo.control
    text = join_toml(
        roles=[role.value for role in host.roles],
        cloud=cloud_facts(demo.topology, host),
        public_address=str(host.public),
    )
    demo.lab.launch(host.name, cloud_config(text))
    demo.wait_until("the control node answers", lambda: demo.ask("net", "list") == [], timeout_s=90)


def launch_others(demo: Demo, group: str) -> None:
    """Launch every other host at once, each with user-data that a token makes valid."""
    others = [host for host in demo.topology.hosts if host != demo.control]
    members = [host for host in others if Role.CONTROL not in host.roles]
    words = _role_words(role for host in members for role in host.roles)
    uses = ("--ttl", "1h", "--uses", str(len(members)))
    shared = demo.ask("enrol", "token", "create", "--group", group, *words, *uses) if members else {}

    def launch(host: Host) -> None:
        is_control = Role.CONTROL in host.roles
        material = new_control_node(demo, group, host) if is_control else shared
        text = join_toml(
            roles=[role.value for role in host.roles],
            cloud=cloud_facts(demo.topology, host),
            join={key: material[key] for key in JOIN_NAMES},
            public_address=str(host.public) if is_control else "",
            devices=[str(device) for device in host.devices],
        )
        demo.lab.launch(host.name, cloud_config(text))

    with ThreadPoolExecutor(max_workers=len(others) or 1) as pool:
        list(pool.map(launch, others))


def new_control_node(demo: Demo, group: str, host: Host) -> dict[str, Any]:
    """What `larva control add` gives a further control node."""
    words = _role_words(role for role in host.roles if role is not Role.CONTROL)
    return dict(demo.ask("control", "add", "--host", host.name, "--group", group, *words))


def _role_words(roles: Iterable[Role]) -> list[str]:
    return [word for role in sorted({role.value for role in roles}) for word in ("--role", role)]


def _well(demo: Demo) -> list[Any]:
    return [node for node in demo.ask("control", "list") if node["state"] == "healthy"]


def wait_for_mesh(demo: Demo, group: str) -> list[Any]:
    """Wait until a status test finds every ordered pair of hosts reachable; return its rows."""
    count = len(demo.topology.hosts)
    rows: list[Any] = []

    def complete() -> bool:
        rows[:] = demo.ask("net", "status", group, "--trials", "1", "--wait", demo.patience(5), timeout=30)
        return sum(1 for row in rows for cell in row["latencies"] if cell["received"]) == count * (count - 1)

    demo.wait_until("every host is present with an address", lambda: len(_present(demo, group)) == count, timeout_s=120)
    demo.wait_until("every pair answers", complete, timeout_s=120)
    return rows


def latency_lines(rows: list[Any]) -> list[str]:
    """One line for each ordered pair that answered in a status test."""
    return [
        f"{row['host']} → {cell['destination']}: {cell['avg_ms']:.2f} ms"
        for row in rows
        for cell in row["latencies"]
        if cell["avg_ms"] is not None
    ]


def osds_up(demo: Demo, group: str) -> list[dict[str, Any]]:
    """The OSDs that are up and in."""
    return [osd for osd in demo.ask("storage", "osd", "list", "--group", group) if osd["up"] and osd["is_in"]]


def cloud_facts(topology: Topology, host: Host) -> dict[str, str]:
    """What the provider's metadata would tell the VM."""
    cloud = topology.cloud(host.cloud)
    return {
        "provider": cloud.provider,
        "region": cloud.region,
        "zone": cloud.zone,
        "network_id": f"{cloud.name}-network",
        "subnet_id": f"{cloud.name}-subnet",
    }


def _present(demo: Demo, group: str) -> list[Any]:
    return [host for host in demo.ask("net", "hosts", group) if host["address"] and host["present"]]


def _quorum(demo: Demo, group: str) -> bool:
    state = demo.ask("storage", "status", "--group", group)["state"]
    return bool(state and state["quorum"]) and len(state["quorum"]) == len(state["monitors"])
