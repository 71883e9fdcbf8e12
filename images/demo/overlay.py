"""Test Case II over the CLADNet: OSDs of three clouds, a file that crosses them, a part lost and back.

The other half of the proof is in poc.py.
"""

import contextlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from images.clouds.lab.topology import Host
from images.demo.story import Step, Story
from images.demo.up import MOUNT_POINT, Demo, osds_up
from images.demo.workload import Workload

FILE_MIB = 64
RECORDS_WHILE_CUT = 100
NOTICE_S = 120
RETURN_S = 240


def test_case_two_over_cladnet(story: Story, demo: Demo, group: str) -> None:
    """Tell the half of the proof that works, on a demo that is up.

    Raises:
        NotProved: something of it does not hold.
    """
    writer, *others = demo.storage
    lost = next(host for host in reversed(others) if host.cloud != writer.cloud)
    with story.step("over the CLADNet: an OSD in each cloud is up and in") as step:
        osds = osds_up(demo, group)
        step.saw(*(f"osd.{osd['id']} of {osd['host']} registers as {osd['addresses'][0]}" for osd in osds))
        step.require(len(osds) == demo.osd_count, "as many OSDs as disks are up and in")
        step.require(
            {osd["host"] for osd in osds} == {host.name for host in demo.storage}, "every storage host has one"
        )
        step.require(all(osd["on_cladnet"] for osd in osds), "every registered address lies on the CLADNet")
    with story.step(f"over the CLADNet: {FILE_MIB} MiB written in one cloud are read in the others") as step:
        cross_clouds(step, demo, writer, others)
    loss = loss_of(demo, lost)
    with contextlib.ExitStack() as cleanup:
        with story.step(f"{loss.name} while {writer.name} writes: I/O goes on") as step:
            workload = Workload.named(demo, writer.name)
            cleanup.callback(workload.remove)
            workload.start()
            _go_on_without(step, demo, group, loss, workload)
        with story.step(f"{lost.name} is back: every OSD up, data clean, every record in every cloud") as step:
            _come_back(step, demo, group, workload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What is taken away in the middle of the work, and given back."""

    name: str
    hosts: frozenset[str]
    """The storage hosts that go."""
    begin: Callable[[], None]
    end: Callable[[], None]


def loss_of(demo: Demo, lost: Host) -> Loss:
    """A virtual machine is switched off hard: it has a boot to come back from. Otherwise its whole cloud is cut off."""
    if lost.is_vm:
        machine = demo.lab.machine(lost.name)
        return Loss(
            name=f"{lost.name} is switched off hard", hosts=frozenset({lost.name}),
            begin=lambda: machine.power_off(hard=True), end=machine.power_on,
        )  # fmt: skip
    cloud = lost.cloud
    return Loss(
        name=f"cloud {cloud} is cut off", hosts=frozenset(host.name for host in demo.storage if host.cloud == cloud),
        begin=lambda: demo.lab.cut(cloud), end=lambda: demo.lab.heal(cloud),
    )  # fmt: skip


def _go_on_without(step: Step, demo: Demo, group: str, loss: Loss, workload: Workload) -> None:
    left = {host.name for host in demo.storage} - loss.hosts

    def only_those_left() -> bool:
        return {osd["host"] for osd in osds_up(demo, group)} == left

    try:
        loss.begin()
        demo.wait_until("its OSDs, and no others, are marked down", only_those_left, timeout_s=NOTICE_S)
        before = workload.seen().records
        demo.wait_until(
            "records are acknowledged without it",
            lambda: workload.seen().records >= before + RECORDS_WHILE_CUT,
            timeout_s=NOTICE_S,
        )
        after = workload.seen().records
        step.require(only_those_left(), "it was still away when they were acknowledged")
        step.saw(
            f"OSDs up: {len(osds_up(demo, group))} of {demo.osd_count}",
            f"records acknowledged: {after}, {after - before} of them after its OSDs were marked down",
        )
    finally:
        loss.end()


def _come_back(step: Step, demo: Demo, group: str, workload: Workload) -> None:
    demo.wait_until("every OSD is up and in", lambda: len(osds_up(demo, group)) == demo.osd_count, timeout_s=RETURN_S)
    outcome = workload.stop()
    step.saw(f"{outcome.records} records; longest pause between two acknowledged: {outcome.longest_pause_s} s")
    demo.wait_until("the data is clean", lambda: is_clean(demo, demo.storage[0]), timeout_s=RETURN_S)
    for host in demo.storage:
        demo.wait_until(
            f"{host.name} reads every acknowledged record",
            lambda host=host: workload.read_by(host.name) == outcome.sha256,  # type: ignore[misc]
            timeout_s=RETURN_S,
        )
        step.saw(f"{host.name}: sha256 {outcome.sha256[:16]}… of {len(outcome.content)} bytes")


def cross_clouds(step: Step, demo: Demo, writer: Host, readers: list[Host]) -> None:
    file = f"{MOUNT_POINT}/proof-{secrets.token_hex(4)}"
    make = f"head -c {FILE_MIB}M /dev/urandom > {file} && sync {file} && sha256sum {file}"
    written = demo.run(writer.name, ["sh", "-c", make], timeout=180).split()[0]
    step.saw(f"{writer.name} ({writer.cloud}) wrote sha256 {written[:16]}…")
    for host in readers:
        read = demo.run(host.name, ["sha256sum", file], timeout=180).split()[0]
        step.saw(f"{host.name} ({host.cloud}) reads  sha256 {read[:16]}…")
        step.require(read == written, f"{host.name} reads what was written")
    demo.run(writer.name, ["rm", file])


def is_clean(demo: Demo, host: Host) -> bool:
    """Whether every placement group is active and clean, as the manager counts them."""
    stat = json.loads(
        demo.run(host.name, ["ceph", "--connect-timeout", "10", "pg", "stat", "--format", "json"], timeout=30)
    )
    states = {state["name"]: state["num"] for state in stat["pg_summary"]["num_pg_by_state"]}
    return sum(states.values()) > 0 and set(states) == {"active+clean"}
