"""`larva demo prove`: Test Case II without the overlay and with it, on the same image and the same clouds."""

from dataclasses import replace

from images import pipeline
from images.clouds.lab.lab import Lab
from images.clouds.lab.topology import Role, Topology
from images.demo.overlay import test_case_two_over_cladnet
from images.demo.poc import test_case_two_without_overlay
from images.demo.story import Story
from images.demo.up import CLADNET, PROFILE, Demo

_NOTHING_TO_JOIN = "#cloud-config\n{}\n"


def without_overlay(story: Story, topology: Topology) -> None:
    """Launch the topology's storage hosts as plain VMs in a lab of their own, and tell the failing half.

    The first of them also runs the monitor. The lab is removed at the end, however it ends.
    """
    hosts = tuple(host for host in topology.hosts if Role.STORAGE in host.roles)
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
            storage=dict(machines),
        )
    finally:
        lab.destroy()


def over_cladnet(story: Story, demo: Demo) -> None:
    """Tell the half that works on a demo that is up."""
    test_case_two_over_cladnet(story, demo, demo.ask("net", "show", CLADNET)["id"])
