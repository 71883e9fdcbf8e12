"""`larva demo prove`: Test Case II without the overlay and with it, on the same image and the same clouds."""

from dataclasses import replace

from images import pipeline
from images.clouds.lab.lab import Lab
from images.clouds.lab.topology import Host, Role, Topology
from images.demo import kernels
from images.demo.overlay import test_case_two_over_cladnet
from images.demo.poc import test_case_two_without_overlay
from images.demo.story import Story
from images.demo.up import CLADNET, PROFILE, Demo
from larva.errors import InvalidInput

CLOUDS = 3
_NOTHING_TO_JOIN = "#cloud-config\n{}\n"


def without_overlay(story: Story, topology: Topology) -> None:
    """Launch the topology's storage hosts as plain VMs in a lab of their own, and tell the failing half.

    The first of them also runs the monitor. The lab is removed at the end, however it ends.
    """
    hosts = storage_hosts(topology)
    lab = Lab.create(replace(topology, hosts=hosts), pipeline.tree(PROFILE))
    try:
        machines = lab.launch_all({host.name: _NOTHING_TO_JOIN for host in hosts})
        for machine in machines.values():
            machine.wait_running()
        first = hosts[0]
        test_case_two_without_overlay(
            story,
            monitor=machines[first.name],
            monitor_private=str(first.private),
            monitor_public=str(first.public),
            private_networks=[topology.cloud(host.cloud).private for host in hosts],
            storage=dict(machines),
        )
    finally:
        lab.destroy()


def storage_hosts(topology: Topology) -> tuple[Host, ...]:
    """Return the hosts that give disks; InvalidInput unless they are in three clouds, which the story is about."""
    hosts = tuple(host for host in topology.hosts if Role.STORAGE in host.roles and host.disks)
    clouds = {host.cloud for host in hosts}
    if len(clouds) < CLOUDS:
        raise InvalidInput(
            f"the topology has storage hosts with a disk in {len(clouds)} clouds", hint=f"the proof needs {CLOUDS}"
        )
    return hosts


def over_cladnet(story: Story, demo: Demo) -> None:
    """Tell the half that works on a demo that is up."""
    storage_hosts(demo.topology)
    if demo.topology.virtual:
        kernels.network_in_the_kernel(story, demo)
        kernels.volume_in_the_kernel(story, demo)
    test_case_two_over_cladnet(story, demo, demo.ask("net", "show", CLADNET)["id"])
    if demo.topology.virtual:
        kernels.volume_in_the_kernel(story, demo)
