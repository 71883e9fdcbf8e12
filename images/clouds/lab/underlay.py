"""What happens to the networks between the clouds while a lab runs: clouds are cut off, distances and rates change."""

from dataclasses import replace

from images.clouds.lab import cgroup, helpers, network, topology_check
from images.clouds.lab.state import StateFile

_RELAY = "relay"
"""The cgroup of the relay between the clouds, in the lab's."""


def set_uplink(file: StateFile, cloud: str, *, up: bool) -> None:
    """Cut a cloud off from all others, or join it again."""
    with file.changing() as (state, save):
        state.topology.cloud(cloud)
        others = tuple(name for name in state.cut if name != cloud)
        save(replace(state, cut=others if up else (*others, cloud)))
        network.set_uplink(network.Names(file.run_id), cloud, up=up)


def set_rtt(file: StateFile, *, on: bool) -> None:
    """Put the topology's round-trip times between the clouds, or take them away."""
    names = network.Names(file.run_id)
    with file.changing() as (state, save):
        group = state.cgroup / _RELAY
        if on and not (state.rtt and cgroup.populated(group)):
            save(replace(state, rtt=True))
            try:
                helpers.start_relay(names, state.topology, group=group, directory=file.directory)
                network.switch(names, state.topology.clouds, on=False)
            except BaseException:
                network.switch(names, state.topology.clouds, on=True)
                cgroup.remove(group)
                save(replace(state, rtt=False))
                raise
        elif not on:
            network.switch(names, state.topology.clouds, on=True)
            cgroup.remove(group)
            save(replace(state, rtt=False))


def set_rate(file: StateFile, mbit_s: float) -> None:
    """Let every cloud send so much at most while latencies are on; 0: as much as it can.

    Raises:
        MalformedData: no uplink has such a rate.
    """
    with file.changing() as (state, save):
        clouds = tuple(replace(cloud, uplink_mbit_s=mbit_s) for cloud in state.topology.clouds)
        changed = topology_check.check(replace(state.topology, clouds=clouds), source=f"rate {mbit_s:g}")
        save(replace(state, topology=changed))
        group = state.cgroup / _RELAY
        if state.rtt and cgroup.populated(group):
            helpers.start_relay(network.Names(file.run_id), changed, group=group, directory=file.directory)
