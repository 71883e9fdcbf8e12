"""Three virtual machines of the image's disk do the whole mission, each on its own kernel.

One lab for the whole file, brought up as a user would; `LARVA_VM_JSON` names a directory in which the story is kept.
Besides: a machine that is shut down in good order, and what is left when whoever made the lab is killed.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from images.clouds.lab import cgroup, leftovers, network
from images.clouds.lab.construction import CGROUP
from images.clouds.lab.lab import Lab
from images.clouds.lab.state import labs_directory
from images.demo.kernels import volume_in_the_kernel
from images.demo.story import Story
from images.demo.up import MOUNT_POINT, Demo

pytestmark = [
    pytest.mark.vm, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]  # fmt: skip

LARVA = Path(sys.executable).with_name("larva")
RUN = "testvm"
BOUND_S = 3000


def larva(*words: str) -> None:
    subprocess.run([LARVA, *words], timeout=BOUND_S, check=True)


def told(file: Path) -> dict[str, Any]:
    """A story as it was written, which is kept where somebody asked for it."""
    if kept := os.environ.get("LARVA_VM_JSON"):
        shutil.copy(file, kept)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """`larva demo up --vm`; the lab is removed at the end."""
    story = tmp_path_factory.mktemp("story") / "up.json"
    try:
        try:
            larva("demo", "up", "--vm", "--run", RUN, "--replace", "--json", str(story))
        finally:
            assert told(story)["ok"]
        yield Demo(Lab.find(RUN))
    finally:
        Lab(RUN).destroy()


def test_the_mission_holds_on_their_own_kernels(demo: Demo, tmp_path: Path) -> None:
    story = tmp_path / "prove.json"
    larva("demo", "prove", "--half", "with", "--run", RUN, "--json", str(story))
    steps = [step["name"] for step in told(story)["steps"] if step["ok"]]
    assert any("kernel's WireGuard" in name for name in steps)
    assert sum("kernel's Ceph client" in name for name in steps) == 2
    assert any("switched off hard" in name for name in steps)


def test_a_machine_shuts_down_in_good_order_and_comes_back(demo: Demo) -> None:
    machine = demo.lab.machine("gcp-1")
    file = f"{MOUNT_POINT}/before"
    demo.run("gcp-1", ["sh", "-c", f"echo before > {file}"])
    assert machine.stop()
    assert not machine.on
    assert demo.run("aws-1", ["cat", file]) == "before\n"
    machine.power_on()
    volume_in_the_kernel(Story(), demo)
    assert demo.run("gcp-1", ["cat", file]) == "before\n"


def test_nothing_of_it_is_left(demo: Demo) -> None:
    qemu = [demo.lab.machine(host.name).leader() for host in demo.topology.virtual]
    assert all(qemu)
    larva("demo", "down", "--run", RUN)
    assert network.existing(f"{network.PREFIX}{RUN}-") == ()
    for place in (labs_directory() / RUN, leftovers.data_root() / RUN, cgroup.hierarchy() / CGROUP / RUN):
        assert not place.exists()
    for pid in qemu:
        assert not Path(f"/proc/{pid}/cmdline").exists() or b"qemu" not in Path(f"/proc/{pid}/cmdline").read_bytes()
