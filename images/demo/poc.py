"""The seed's Test Case II without the overlay: a monitor made reachable by hand, and OSDs that do not stay.

This is what the proof of concept could do with Ceph alone: the monitor advertises its public address and binds its
private one (`public_bind_addr`, which Ceph has for monitors only), every port between the clouds is open, and the OSDs
are told the network that they are in. They announce their private addresses, which mean nothing in another cloud.
"""

import json
import uuid
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from images.demo.story import Story, wait_until

GRACE_S = 90
"""Twice Ceph's default `osd_heartbeat_grace` of 20 s, plus its boot and the monitors' tick."""


class Machine(Protocol):
    """What the story needs of a VM."""

    def run(
        self,
        argv: list[str],
        *,
        timeout: float = 60,
        input: bytes | None = None,  # noqa: A002 - the name subprocess gives it
        secret: bool = False,
    ) -> str:
        """Run a program in it and return its output; LarvaError when it fails, without its words if `secret`."""
        ...


def test_case_two_without_overlay(
    story: Story,
    *,
    monitor: Machine,
    monitor_private: str,
    monitor_public: str,
    private_networks: Sequence[IPv4Network],
    storage: dict[str, Machine],
) -> None:
    """Tell the failing half of the proof on machines of the image that joined nothing.

    Args:
        monitor: the VM of the first cloud; `monitor_private` is on its interface, `monitor_public` is its NAT's.
        private_networks: of the clouds, which the OSDs are told.
        storage: the VMs of the other clouds, by name.

    Raises:
        NotProved: something else happened than what the POC saw.
    """
    fsid = str(uuid.uuid4())
    config = _ceph_conf(fsid, monitor_public, monitor_private, private_networks)
    with story.step("without the overlay: a monitor advertises its public address, every port is open") as step:
        for machine in (monitor, *storage.values()):
            _shell(
                machine,
                "nft flush ruleset; mkdir -p /etc/ceph /run/ceph; chown ceph:ceph /run/ceph\n"
                f"cat > /etc/ceph/ceph.conf <<'END'\n{config}END",
            )
        _shell(
            monitor,
            f"""set -e; cd /tmp
            ceph-authtool --create-keyring mon.ring --gen-key -n mon. --cap mon 'allow *'
            ceph-authtool --create-keyring /etc/ceph/ceph.client.admin.keyring --gen-key -n client.admin \
                --cap mon 'allow *' --cap osd 'allow *' --cap mds 'allow *' --cap mgr 'allow *'
            ceph-authtool mon.ring --import-keyring /etc/ceph/ceph.client.admin.keyring
            monmaptool --create --fsid {fsid} --addv a '[v2:{monitor_public}:3300]' monmap
            install -d -o ceph -g ceph /var/lib/ceph/mon/ceph-a; chown ceph:ceph mon.ring monmap
            runuser -u ceph -- ceph-mon --mkfs -i a --monmap monmap --keyring mon.ring
            systemctl start ceph-mon@a""",
        )
        wait_until("the monitor answers", lambda: "quorum" in _ceph(monitor, "quorum_status"), timeout_s=60)
        keyring = _shell(monitor, "cat /etc/ceph/ceph.client.admin.keyring")
        for name, machine in storage.items():
            _put_secret(machine, "/etc/ceph/ceph.client.admin.keyring", keyring)
            step.require("quorum" in _ceph(machine, "quorum_status"), f"{name} reaches the monitor (Test Case I)")
        step.saw(f"the other clouds reach the monitor at {monitor_public}:3300: mounting works, with extra work")
    with story.step("without the overlay: an OSD boots in each cloud, told the network that it is in") as step:
        for machine in storage.values():
            uid = uuid.uuid4()
            osd = json.loads(_ceph(monitor, "osd", "new", str(uid)))["osdid"]
            key = _ceph(
                monitor, "auth", "get-or-create", f"osd.{osd}", "mon", "allow profile osd", "osd", "allow *", plain=True
            )
            directory = f"/var/lib/ceph/osd/ceph-{osd}"
            _shell(machine, f"install -d -o ceph -g ceph {directory}")
            _put_secret(machine, f"{directory}/keyring", f"{key}\n")
            _shell(
                machine,
                f"""set -e; d={directory}
                chown ceph:ceph $d/keyring; runuser -u ceph -- ceph-osd --mkfs -i {osd} --osd-uuid {uid}
                systemctl start ceph-osd@{osd}""",
                timeout=180,
            )
        _ceph(monitor, "osd", "pool", "create", "rbd", "8", plain=True)
        wait_until("every OSD announces itself", lambda: len(_announced(monitor)) == len(storage), timeout_s=60)
        announced = _announced(monitor)
        step.saw(*(f"osd.{osd} registers as {address}" for osd, address in announced.items()))
        step.require(
            all(_is_private(address, private_networks) for address in announced.values()),
            "the OSDs announce private addresses of their own clouds",
        )
    with story.step(
        "without the overlay: they look for each other in their own cloud and report each other dead"
    ) as step:
        wait_until("an OSD of another cloud is down", lambda: _up(monitor) < len(storage), timeout_s=GRACE_S)
        wait_until("the OSDs know why", lambda: bool(_reasons(storage)), timeout_s=GRACE_S)
        step.saw(f"OSDs up after the heartbeats' grace: {_up(monitor)} of {len(storage)}", *_reasons(storage))
        failed = _shell(monitor, "grep -hE 'osd[.][0-9]+ failed' /var/log/ceph/ceph-mon.a.log | tail -n 2 || true")
        step.saw(*(f"monitor: {_message(line)}" for line in failed.splitlines()))
        running = [name for name, machine in storage.items() if _osd_runs(machine)]
        step.require(len(running) == len(storage), "every OSD runs: none is down because it ended")
        ended = _shell(
            monitor, "code=0; timeout 10 rados -p rbd put proof /etc/hostname || code=$?; echo $code"
        ).strip()
        step.require(ended == "124", f"a write hangs until timeout(1) ends it (it ended with {ended})")
        step.saw("every OSD runs; a write hangs: timeout(1) ended it after 10 s")


def _osd_runs(machine: Machine) -> bool:
    return "active" in _shell(machine, "systemctl is-active 'ceph-osd@*' || true").split()


def _is_private(address: str, networks: Sequence[IPv4Network]) -> bool:
    return any(IPv4Address(address.split(":")[0]) in network for network in networks)


def _put_secret(machine: Machine, path: str, text: str) -> None:
    """Write a key by standard input: an argument would show in the list of processes, and in an error."""
    machine.run(["sh", "-c", f"umask 077; cat > {path}"], input=text.encode(), secret=True)


def _ceph_conf(fsid: str, public: str, private: str, networks: Sequence[IPv4Network]) -> str:
    return f"""[global]
fsid = {fsid}
mon_host = [v2:{public}:3300]
public_network = {", ".join(sorted({str(network) for network in networks}))}
ms_bind_msgr1 = false
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 3
[mon.a]
public_addr = {public}
public_bind_addr = {private}
[osd]
bluestore_block_size = 4294967296
osd_memory_target = 939524096
osd_mclock_skip_benchmark = true
"""


def _shell(machine: Machine, script: str, *, timeout: float = 60) -> str:
    return machine.run(["sh", "-c", script], timeout=timeout)


def _ceph(machine: Machine, *words: str, plain: bool = False) -> str:
    form = [] if plain else ["--format", "json"]
    return machine.run(["ceph", "--connect-timeout", "10", *form, *words], timeout=30)


def _osd_dump(machine: Machine) -> list[dict[str, object]]:
    return list(json.loads(_ceph(machine, "osd", "dump"))["osds"])


def _announced(machine: Machine) -> dict[int, str]:
    """Public addresses by OSD, of those that have announced one."""
    addresses = {int(str(osd["osd"])): str(osd["public_addr"]).split("/")[0] for osd in _osd_dump(machine)}
    return {
        osd: address
        for osd, address in addresses.items()
        if not address.startswith(("-", ":", "(unrecognized", "0.0.0.0"))
    }


def _reasons(storage: dict[str, Machine]) -> list[str]:
    """What each OSD's log says of its peers: the last line of every kind."""
    found: list[str] = []
    for name, machine in storage.items():
        for kind in ("no reply from", "waiting to boot", "is_healthy false"):
            line = _shell(machine, f"grep -h '{kind}' /var/log/ceph/ceph-osd.*.log | tail -n 1 || true").strip()
            found += [f"{name}: {_message(line)}"] if line else []
    return found


def _up(machine: Machine) -> int:
    return sum(1 for osd in _osd_dump(machine) if osd["up"])


def _message(line: str) -> str:
    """A Ceph log line without its time stamp and thread."""
    words = line.split(maxsplit=3)
    return words[3] if len(words) == 4 else line
