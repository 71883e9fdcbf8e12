"""A monitor that comes back to a host that had one: new data, the old address, and others that remember the old one."""

from collections.abc import Iterator

import pytest
from small_ceph import MON, Image, SmallCeph, running

from larva.errors import ProgramFailed

pytestmark = [pytest.mark.root, pytest.mark.image]

NAME = "back"
ADDRESS = "127.0.0.2"
"""The address of the other monitor, in the same namespace."""
OLD = 60
"""So many connections did the removed one make to the one that stays: more than a new one makes within this test."""
JOIN = """
from ipaddress import IPv4Address
from pathlib import Path
from cbstorage.ceph.answers import QuorumStatus
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import mon
from larva.errors import Unavailable
ceph = Path("/etc/ceph")
with Monitors(ceph / "ceph.conf", entity="client.admin", keyring=ceph / "ceph.client.admin.keyring") as it:
    try:
        mon.join(it, it.ask("quorum_status", QuorumStatus), name, IPv4Address(address))
        result = ""
    except Unavailable as error:
        result = error.message
"""


@pytest.fixture(scope="module")
def two(ceph_image: Image) -> Iterator[SmallCeph]:
    """A cluster of one monitor that has a second one, whose configuration is there."""
    own = f"[mon.{NAME}]\npublic_addrv = [v2:{ADDRESS}:3300/0]\npublic_addr = {ADDRESS}\nrun_dir = /run/ceph\n"
    with running(ceph_image, file_system=False) as small:
        small.write("/etc/ceph/ceph.conf", small.run(["cat", "/etc/ceph/ceph.conf"]) + own, 0o644)
        yield small


def make(small: SmallCeph) -> None:
    """Make the second monitor's data from the present map and start it."""
    small.run(["sh", "-c", f"rm -rf /var/lib/ceph/mon/ceph-{NAME}; ceph mon getmap -o /run/now"])
    small.run(["ceph-mon", "--mkfs", "--id", NAME, "--monmap", "/run/now", "--keyring", "/run/all.keyring"])
    small.start_daemon(f"mon.{NAME}")


def quorum(small: SmallCeph) -> set[str]:
    try:
        return set(small.ceph("quorum_status")["quorum_names"])
    except ProgramFailed:  # it is being elected
        return set()


def connections(small: SmallCeph) -> int:
    """The number that the second monitor gave its latest connection to the first."""
    script = f"grep -aoE '(gs|global_seq)=[0-9]+' /var/log/ceph/ceph-mon.{NAME}.log | cut -d= -f2 | sort -n | tail -n 1"
    return int(small.run(["sh", "-c", script]) or 0)


def test_a_new_monitor_is_let_in_where_an_old_one_was_removed(two: SmallCeph) -> None:
    make(two)
    two.wait("the first time it is let in by itself", lambda: quorum(two) == {MON, NAME})
    asked = ["ceph", "daemon", f"mon.{NAME}", "config", "set"]
    for name, value in (("debug_ms", "5"), ("ms_initial_backoff", "0.01"), ("ms_max_backoff", "0.01")):
        two.run([*asked, name, value])
    two.run([*asked, "ms_inject_socket_failures", "15"])
    two.wait("it grew old", lambda: connections(two) >= OLD)
    two.run([*asked, "ms_inject_socket_failures", "0"])
    two.wait("it is in quorum again", lambda: quorum(two) == {MON, NAME})
    two.ceph("mon", "remove", NAME)
    two.wait("the other one stays", lambda: quorum(two) == {MON})
    old = f"[c]eph-mon --id {NAME}"  # which does not find the shell that looks for it
    two.run(["sh", "-c", f"pkill -KILL -f '{old}'; while pgrep -f '{old}'; do sleep 0.1; done"])
    make(two)
    two.wait("it is in the map", lambda: two.python(JOIN, name=NAME, address=ADDRESS, timeout=90) == "")
    two.wait("it is in quorum", lambda: quorum(two) == {MON, NAME})
