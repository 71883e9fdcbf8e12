"""The lab cloud for real: three clouds, machines of the image, what a user can do to them."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from images.clouds.lab import topology_toml
from images.clouds.lab.lab import Lab
from images.clouds.lab.machine import Machine
from images.clouds.lab.topology import Host, Role
from larva.errors import Conflict, LarvaError, MalformedData, NotFound, ProgramFailed, TimedOut

pytestmark = [pytest.mark.root, pytest.mark.lab]

WAIT_S = 60.0
USER_DATA = """#cloud-config
write_files:
- path: /etc/lab-test
  permissions: "0600"
  content: |
    host = "{host}"
- path: /etc/larva/nftables.d/lab-test.nft
  content: |
    add element inet larva open_tcp {{ 7000-7001 }}
runcmd:
- test ! -e /etc/larva/nftables.nft || nft -f /etc/larva/nftables.nft
- echo boot >>/root/first-boots
"""


@pytest.fixture(scope="module")
def lab(lab_tree: Path) -> Iterator[Lab]:
    """The default lab with every host running and its user-data done."""
    made = Lab.create(topology_toml.default(), lab_tree)
    try:
        machines = made.launch_all({host.name: USER_DATA.format(host=host.name) for host in made.topology.hosts})
        for machine in machines.values():
            machine.wait_running(timeout=120)
        yield made
    finally:
        made.destroy()


def ping(machine: Machine, address: IPv4Address | str, *, size: int = 56) -> float | None:
    """The shortest round trip of three, in ms; None when nothing comes back.

    Args:
        size: of what is sent, in bytes, without its headers.
    """
    words = ["ping", "-n", "-c3", "-i0.2", "-W2", "-s", str(size), str(address)]
    said = machine.run(words, ok_codes=(0, 1), timeout=30)
    return float(said.splitlines()[-1].split("=")[1].split("/")[0]) if "min/avg/max" in said else None


def until(holds: Callable[[], object], what: str) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


SERVE = """
import socket
server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("0.0.0.0", 7000)); server.listen()
connection, peer = server.accept(); connection.sendall(peer[0].encode()); connection.close()
"""
CALL = """
import socket, sys, time
deadline = time.monotonic() + 20
while True:
    try:
        print(socket.create_connection((sys.argv[1], 7000), timeout=5).recv(100).decode()); break
    except OSError:
        if time.monotonic() > deadline: raise
        time.sleep(0.05)
"""


def seen_as(client: Machine, server: Machine, address: IPv4Address) -> str:
    """The address from which a server sees a client that calls it by `address`."""
    with ThreadPoolExecutor() as pool:
        serving = pool.submit(server.run, ["python3", "-c", SERVE], timeout=30)
        seen = client.run(["python3", "-c", CALL, str(address)], timeout=30).strip()
        serving.result()
    return seen


def test_user_data_is_applied_by_the_images_own_cloud_init(lab: Lab) -> None:
    for machine in lab.machines():
        assert machine.run(["cat", "/etc/lab-test"]) == f'host = "{machine.name}"\n'
        assert machine.run(["stat", "-c%a", "/etc/lab-test"]).strip() == "600"
        assert machine.run(["hostname"]).strip() == machine.name
        assert machine.run(["cat", "/root/first-boots"]) == "boot\n"
        status = json.loads(machine.run(["cloud-init", "status", "--format", "json"]))
        assert (status["status"], status["errors"]) == ("done", [])
        assert "NoCloud" in status["detail"]


def test_machine_is_the_images_system_and_healthy(lab: Lab) -> None:
    machine = lab.machine("gcp-1")
    assert machine.wait_running() == "running", machine.run(["systemctl", "--failed", "--no-legend"])
    assert machine.run(["cat", "/proc/1/comm"]).strip() == "systemd"
    assert machine.run(["cat", "/proc/1/cgroup"]).splitlines()[-1] == "0::/init.scope"
    assert machine.run(["cat", "/proc/self/cgroup"]).splitlines()[-1] == "0::/lab-exec"
    disk = machine.run(["stat", "-c%s %b", "/var/lib/larva/disks/osd0.img"]).split()
    assert int(disk[0]) == 4 * 2**30
    assert int(disk[1]) * 512 < 2**20
    for device in ("/dev/net/tun", "/dev/fuse", "/dev/null"):
        machine.run(["test", "-c", device])
    machine.run(["ip", "tuntap", "add", "dev", "probe0", "mode", "tun"])
    machine.run(["ip", "link", "delete", "probe0"])


def test_nothing_of_this_machine_is_within_reach(lab: Lab) -> None:
    machine = lab.machine("gcp-1")
    for path in ("/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"):
        script = f"test ! -e {path} || ! echo x 2>/dev/null >{path}"
        machine.run(["sh", "-c", script])
    systemd = machine.run(["grep", "CapBnd", "/proc/1/status"]).split()[1]
    assert int(systemd, 16) & (1 << 25 | 1 << 16) == 0  # CAP_SYS_TIME, CAP_SYS_MODULE of linux/capability.h
    links = json.loads(machine.run(["ip", "-json", "link"]))
    assert {link["ifname"] for link in links} <= {"lo", "eth0", "cbnet0", "wg0"}


def test_root_namespace_is_untouched(lab: Lab) -> None:
    routes = subprocess.run(
        ["ip", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=True
    ).stdout
    assert not any(word in routes for word in ("203.0.113.", "198.18.0.", "dev wan", "dev lan"))
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert not any(f"{name}@" in links or f" {name}:" in links for name in ("wan", "lan", "up-aws", "exchange", "h0"))


def test_public_addresses_reach_and_are_translated_one_to_one(lab: Lab) -> None:
    control, azure = lab.machine("control"), lab.machine("azure-1")
    assert ping(azure, control.host.public) is not None
    assert seen_as(azure, control, control.host.public) == str(azure.host.public)
    assert seen_as(control, azure, azure.host.public) == str(control.host.public)


def test_neighbours_by_private_and_by_public_address(lab: Lab) -> None:
    control, aws = lab.machine("control"), lab.machine("aws-1")
    assert seen_as(aws, control, control.host.private) == str(aws.host.private)
    assert seen_as(aws, control, control.host.public) == str(aws.host.public)


def test_own_public_address_hairpins(lab: Lab) -> None:
    gcp = lab.machine("gcp-1")
    assert seen_as(gcp, gcp, gcp.host.public) == str(gcp.host.public)


def test_private_addresses_of_other_clouds_are_out_of_reach(lab: Lab) -> None:
    assert ping(lab.machine("gcp-1"), "10.0.0.5") is None  # aws-1 has it, in another cloud


def test_unused_public_address_is_silent(lab: Lab) -> None:
    assert ping(lab.machine("gcp-1"), "203.0.113.60") is None


def test_latencies_are_switched_on_and_off_while_all_runs(lab: Lab) -> None:
    plan = lab.topology
    pairs = [("gcp-1", "aws-1"), ("gcp-1", "azure-1"), ("azure-1", "control")]
    near = {pair: ping(lab.machine(pair[0]), plan.host(pair[1]).public) for pair in pairs}
    lab.rtt(on=True)
    try:
        assert lab.state.rtt
        for one, other in pairs:
            far = ping(lab.machine(one), plan.host(other).public)
            before = near[one, other]
            assert far is not None
            assert before is not None
            assert before < far
            assert far >= plan.rtt_ms(plan.host(one).cloud, plan.host(other).cloud)
        neighbour = ping(lab.machine("control"), plan.host("aws-1").public)
        assert neighbour is not None
        assert neighbour < plan.rtt_ms("aws", "gcp")
        lab.rtt(on=True)  # a second time changes nothing
    finally:
        lab.rtt(on=False)
    back = ping(lab.machine("gcp-1"), plan.host("aws-1").public)
    assert back is not None
    assert back < plan.rtt_ms("aws", "gcp")


BULK_SERVE = """
import hashlib, socket
server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("0.0.0.0", 7001)); server.listen(); connection, peer = server.accept()
total = hashlib.sha256()
while data := connection.recv(1 << 20): total.update(data)
print(total.hexdigest())
"""
BULK_SEND = """
import hashlib, random, socket, sys, time
data = random.Random(1).randbytes(1 << 24); deadline = time.monotonic() + 20
while True:
    try:
        connection = socket.create_connection((sys.argv[1], 7001), timeout=60); break
    except OSError:
        if time.monotonic() > deadline: raise
        time.sleep(0.05)
connection.sendall(data); connection.close()
print(hashlib.sha256(data).hexdigest())
"""


def test_bulk_data_passes_the_relay_whole_and_a_killed_relay_comes_back(lab: Lab) -> None:
    gcp, azure = lab.machine("gcp-1"), lab.machine("azure-1")
    lab.rtt(on=True)
    try:
        with ThreadPoolExecutor() as pool:
            received = pool.submit(azure.run, ["python3", "-c", BULK_SERVE], timeout=120)
            sent = gcp.run(["python3", "-c", BULK_SEND, str(azure.host.public)], timeout=120)
            assert received.result() == sent
        group = lab.state.cgroup / "relay"
        supervisor, *relays = sorted(int(pid) for pid in (group / "cgroup.procs").read_text().split())
        assert len(relays) == len(lab.topology.clouds)
        for pid in relays:
            assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] == str(supervisor)
            os.kill(pid, 9)
        until(lambda: ping(gcp, azure.host.public) is not None, "the relay did not come back")
    finally:
        lab.rtt(on=False)


def test_uplinks_have_a_rate_while_all_runs(lab: Lab) -> None:
    gcp, azure = lab.machine("gcp-1"), lab.machine("azure-1")
    distance = lab.topology.rtt_ms("gcp", "azure")
    lab.rtt(on=True)
    try:
        lab.rate(1.0)
        # 1,442 bytes take 11.5 ms on each of the two uplinks.
        until(lambda: (ping(gcp, azure.host.public, size=1400) or 0) >= distance + 23, "a slow link, and fast packets")
        with pytest.raises(MalformedData, match="uplink_mbit_s"):
            lab.rate(-1.0)
        assert {cloud.uplink_mbit_s for cloud in lab.topology.clouds} == {1.0}
        lab.rate(0.0)
        until(lambda: (ping(gcp, azure.host.public, size=1400) or 0) < distance + 23, "no rate, and slow packets")
    finally:
        lab.rate(0.0)
        lab.rtt(on=False)


def test_cut_and_heal(lab: Lab) -> None:
    gcp, azure, aws = (lab.machine(name) for name in ("gcp-1", "azure-1", "aws-1"))
    lab.cut("gcp")
    try:
        assert lab.state.cut == ("gcp",)
        assert ping(gcp, azure.host.public) is None
        assert ping(azure, gcp.host.public) is None
        assert ping(azure, aws.host.public) is not None
        assert gcp.run(["hostname"]) == "gcp-1\n"  # the operator still gets in
    finally:
        lab.heal("gcp")
    assert lab.state.cut == ()
    until(lambda: ping(gcp, azure.host.public) is not None, "healed, and still no way")


def test_cut_holds_while_latencies_come_and_go(lab: Lab) -> None:
    gcp, azure = lab.machine("gcp-1"), lab.machine("azure-1")
    lab.cut("gcp")
    try:
        lab.rtt(on=True)
        assert ping(gcp, azure.host.public) is None
        lab.heal("gcp")
        until(lambda: (ping(gcp, azure.host.public) or 0) >= 249.35, "healed under the relay, and still no way")
    finally:
        lab.rtt(on=False)
        lab.heal("gcp")
    assert ping(gcp, azure.host.public) is not None


def test_addresses_change_while_the_host_runs(lab: Lab) -> None:
    gcp, azure = lab.machine("gcp-1"), lab.machine("azure-1")
    old = gcp.host
    try:
        lab.readdress("gcp-1", public=IPv4Address("203.0.113.90"))
        moved = lab.machine("gcp-1")
        assert ping(azure, "203.0.113.90") is not None
        assert ping(azure, old.public) is None
        assert seen_as(moved, azure, azure.host.public) == "203.0.113.90"
        lab.readdress("gcp-1", private=IPv4Address("10.0.0.77"))
        assert "10.0.0.77" in moved.run(["ip", "-4", "address", "show", "eth0"])
        assert str(old.private) + "/" not in moved.run(["ip", "-4", "address", "show", "eth0"])
        assert ping(azure, "203.0.113.90") is not None
        assert seen_as(azure, moved, IPv4Address("203.0.113.90")) == str(azure.host.public)
    finally:
        lab.readdress("gcp-1", public=old.public, private=old.private)
    assert ping(azure, old.public) is not None


def test_impossible_address_changes_nothing(lab: Lab) -> None:
    before = lab.topology
    for wrong in ("203.0.113.10", "198.51.100.1"):  # another host's, another prefix
        with pytest.raises(LarvaError):
            lab.readdress("gcp-1", public=IPv4Address(wrong))
    assert lab.topology == before
    assert ping(lab.machine("azure-1"), before.host("gcp-1").public) is not None


def test_host_is_added_to_the_running_lab(lab: Lab) -> None:
    host = Host(
        name="gcp-2", cloud="gcp", roles=(Role.MEMBER,),
        private=IPv4Address("10.0.0.9"), public=IPv4Address("203.0.113.80"),
    )  # fmt: skip
    lab.add_host(host)
    with pytest.raises(LarvaError, match="used twice"):
        lab.add_host(host)
    added = lab.launch("gcp-2", "#!/bin/sh\necho script >/root/ran\n")
    added.wait_running(timeout=120)
    assert added.run(["cat", "/root/ran"]) == "script\n"
    assert ping(lab.machine("azure-1"), host.public) is not None
    assert seen_as(added, lab.machine("gcp-1"), lab.topology.host("gcp-1").public) == str(host.public)
    with pytest.raises(Conflict, match="launched already"):
        lab.launch("gcp-2", "")


def test_pulled_plug_keeps_the_disks(lab: Lab) -> None:
    machine = lab.machine("aws-1")
    machine.run(
        ["sh", "-c", "echo kept >/root/kept; printf abc | dd of=/var/lib/larva/disks/osd0.img conv=notrunc; sync"]
    )
    machine.run(["ip", "link", "add", "dummy7", "type", "bridge"])
    boot = machine.leader()
    machine.power_off(hard=True)
    assert not machine.on
    assert ping(lab.machine("control"), machine.host.private) is None
    assert machine.leader() is None
    with pytest.raises(NotFound, match="not running"):
        machine.run(["true"])
    machine.power_on()
    machine.power_on()  # a second time changes nothing
    machine.wait_running(timeout=120)
    assert machine.leader() != boot
    assert "dummy7" not in machine.run(["ip", "link"])
    assert machine.run(["cat", "/root/kept"]) == "kept\n"
    assert machine.run(["head", "-c3", "/var/lib/larva/disks/osd0.img"]) == "abc"
    assert machine.run(["cat", "/root/first-boots"]) == "boot\n"
    assert ping(lab.machine("gcp-1"), machine.host.public) is not None


def test_stop_in_good_order_and_reboot(lab: Lab) -> None:
    machine = lab.machine("aws-1")
    machine.run(
        ["systemd-run", "--unit=lastwords", "--property=ExecStop=/bin/sh -c 'echo bye >/root/bye'", "sleep", "3600"]
    )
    assert machine.stop()
    assert not machine.on
    assert machine.stop()  # off already
    assert ping(lab.machine("control"), machine.host.private) is None
    machine.power_on()
    machine.wait_running(timeout=120)
    assert machine.run(["cat", "/root/bye"]) == "bye\n"
    first = machine.leader()
    machine.run(["systemctl", "reboot", "--no-block"], ok_codes=range(256))
    until(lambda: machine.leader() not in (first, None), "it did not come back")
    until(lambda: (lab.machine("aws-1").leader() or first) != first, "it did not come back")
    machine.wait_running(timeout=120)


def test_programs_that_fail_or_do_not_end(lab: Lab) -> None:
    machine = lab.machine("gcp-1")
    with pytest.raises(ProgramFailed, match=r"gcp-1: sh -c .*code 7:\nno luck") as caught:
        machine.run(["sh", "-c", "echo no luck >&2; exit 7"])
    assert "nsenter" not in caught.value.message
    with pytest.raises(TimedOut, match="gcp-1: sleep"):
        machine.run(["sleep", "4321"], timeout=0.5)
    until(lambda: not machine.run(["pgrep", "-f", "^sleep 4321"], ok_codes=(0, 1)), "the killed program is still there")
    with pytest.raises(LarvaError, match="no-such-program"):
        machine.run(["no-such-program"])
    assert machine.run(["cat"], input=b"in and out") == "in and out"
    with pytest.raises(ProgramFailed) as secret:
        machine.run(["sh", "-c", "echo hush; exit 1"], secret=True)
    assert "hush" not in secret.value.message
    assert machine.run(["env"], env={"A": "1"}).count("LARVA") == 0


def test_way_in_from_the_loopback(lab: Lab) -> None:
    control = lab.machine("control")
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            control.run(["python3", "-c", SERVE], timeout=60, ok_codes=range(256))

    server = threading.Thread(target=serve)
    server.start()
    try:
        port = lab.forward("control", 7000)
        assert lab.forward("control", 7000) == port

        def answer() -> bytes:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                    return connection.recv(100)
            except OSError:
                return b""

        until(lambda: answer() == b"127.0.0.1", "no answer through the way in")
        lab.cut("aws")
        until(lambda: answer() == b"127.0.0.1", "no answer while its cloud is cut")
        lab.heal("aws")
        other = lab.forward("gcp-1", 7000)
        assert other != port
        with pytest.raises(Conflict, match=f"port {port} is taken"):
            lab.forward("azure-1", 7000, listen=port)
        assert [way.listen for way in lab.state.forwards if way.host == "azure-1"] == []
    finally:
        lab.heal("aws")
        stop.set()
        while server.is_alive():
            answer()  # the last one that it waits for
            server.join(timeout=0.1)


def larva(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command `larva demo`."""
    program = Path(sys.executable).with_name("larva")
    return subprocess.run([program, "demo", *words], input=stdin, capture_output=True, timeout=120, check=False)


def test_commands(lab: Lab) -> None:
    run = ("--run", lab.run_id)
    done = larva("exec", *run, "gcp-1", "--", "sh", "-c", "cat; echo err >&2; exit 7", stdin=b"through")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"through", b"err\n")
    assert larva("exec", *run, "gcp-1", "hostname").stdout == b"gcp-1\n"
    assert larva("ssh", *run, "gcp-1", "sudo -n id -u; hostname").stdout == b"0\ngcp-1\n"
    shown = json.loads(larva("status", *run, "--json").stdout)[0]
    assert shown["run_id"] == lab.run_id
    assert {host["name"]: host["state"] for host in shown["hosts"]}["gcp-1"] == "on"
    assert b"203.0.113.75" in larva("status", *run).stdout
    assert larva("cut", *run, "gcp").returncode == 0
    assert lab.state.cut == ("gcp",)
    assert larva("heal", *run, "gcp").returncode == 0
    assert larva("rtt", *run, "on").returncode == 0
    assert lab.state.rtt
    assert larva("rtt", *run, "off").returncode == 0
    assert larva("off", *run, "--hard", "azure-1").returncode == 0
    assert not lab.machine("azure-1").on
    assert larva("on", *run, "azure-1").returncode == 0
    lab.machine("azure-1").wait_running(timeout=120)
    for words, code, said in (
        (("exec", *run, "nobody", "true"), 66, b"there is no host 'nobody'"),
        (("cut", *run, "nowhere"), 66, b"there is no cloud 'nowhere'"),
        (("status", "--run", "nolab"), 66, b"there is no lab 'nolab'"),
        (("down", "--run", "nolab"), 66, b"there is no lab 'nolab'"),
        (("down", "--run", "NO/LAB"), 2, b"run id"),
        (("down", "--all", "--run", "x"), 2, b"not both"),
    ):
        done = larva(*words)
        assert done.returncode == code
        assert said in done.stderr
        assert b"Traceback" not in done.stderr


def test_two_labs_at_once(lab: Lab, lab_tree: Path) -> None:
    second = Lab.create(topology_toml.default(), lab_tree)
    try:
        assert second.run_id != lab.run_id
        twin = second.launch("gcp-1", "#cloud-config\nruncmd: [touch /root/second]\n")
        twin.wait_running(timeout=120)
        twin.run(["test", "-e", "/root/second"])
        lab.machine("gcp-1").run(["test", "!", "-e", "/root/second"])
        assert ping(twin, "203.0.113.139") is None  # the first lab's azure-1 has that address, in its own internet
        second.rtt(on=True)
        assert not lab.state.rtt
    finally:
        second.destroy()
    assert ping(lab.machine("gcp-1"), "203.0.113.139") is not None
