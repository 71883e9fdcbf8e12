"""The lab's own processes beside its machines: the relay between the clouds, and the ways in from the loopback."""

import sys
import time
from pathlib import Path

from images.clouds.lab import cgroup, network, relay
from images.clouds.lab.topology import Topology
from larva import codec, files
from larva.errors import LarvaError, TimedOut

TIMEOUT_S = 15.0
_POLL_S = 0.02


def start_relay(names: network.Names, plan: Topology, *, group: Path, directory: Path) -> None:
    """Start the relay between a topology's clouds; it carries frames when this returns.

    Args:
        group: its cgroup, made anew.
        directory: where its specification and its log go.

    Raises:
        LarvaError: it does not start; the log says why.
    """
    ready, spec = directory / "relay.ready", directory / "relay.json"
    ready.unlink(missing_ok=True)
    files.write_whole(spec, codec.encode(relay_spec(plan, ready)))
    inside = f"--net={network.path_of(names.internet)}"
    _start(["nsenter", inside, sys.executable, "-m", relay.__name__, str(spec)], group, directory / "relay.log")
    _wait_for(ready, group, "the relay between the clouds")


def relay_spec(plan: Topology, ready: Path) -> relay.Spec:
    """Return what the relay of a topology has to do: half of each round-trip time in each direction, and rates."""
    return relay.Spec(
        ready=ready,
        uplinks=tuple(
            relay.Uplink(
                interface=network.uplink(cloud.name),
                mac=network.wan_mac(number),
                mbit_s=cloud.uplink_mbit_s,
                delay_ms={
                    network.uplink(other.name): plan.rtt_ms(cloud.name, other.name) / 2
                    for other in plan.clouds
                    if other is not cloud
                },
            )
            for number, cloud in enumerate(plan.clouds)
        ),
    )


def start_forward(
    namespace: Path, address: str, port: int, *, first: int, tries: int, group: Path, directory: Path
) -> int:
    """Lead the loopback's port `first`, or the next free one of `tries`, into a namespace; return the port.

    Args:
        address: with `port`, where it leads, as seen from there.

    Raises:
        LarvaError: none of them is free, or the process does not start.
    """
    found = directory / f"{group.name}.port"
    found.unlink(missing_ok=True)
    words = [sys.executable, "-m", "images.clouds.lab.forward", namespace, address, port, first, tries, found]
    _start([str(word) for word in words], group, directory / f"{group.name}.log")
    _wait_for(found, group, f"the way to port {port}")
    return int(found.read_text())


def _start(argv: list[str], group: Path, log_file: Path) -> None:
    cgroup.remove(group)
    group.mkdir()
    cgroup.spawn(argv, group=group, log_file=log_file)


def _wait_for(path: Path, group: Path, what: str) -> None:
    """Wait until a process has written the file that says that it serves."""
    deadline = time.monotonic() + TIMEOUT_S
    while not path.exists():
        if not cgroup.populated(group) and not path.exists():
            raise LarvaError(f"{what} did not start", hint=f"see the logs in {path.parent}")
        if time.monotonic() > deadline:
            raise TimedOut(f"{what} did not start within {TIMEOUT_S:g} s", hint=f"see the logs in {path.parent}")
        time.sleep(_POLL_S)
