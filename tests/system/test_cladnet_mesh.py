"""Agents, controllers and etcd as real processes, each host a namespace: a mesh forms, changes, and is told of."""

import itertools
import re
import signal
import sys

import pytest
from mesh import LARVA, Mesh, run, until

from cladnet import keys
from cladnet.quality import HostQuality, Window
from larva import codec

pytestmark = pytest.mark.root

READ = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"


def test_hosts_form_a_mesh_and_come_go_and_move_while_it_runs(mesh: Mesh) -> None:
    for number, host in enumerate(("a", "b", "c"), start=10):
        mesh.add_host(host, number)
    addresses = mesh.wait_mesh("a", "b", "c")
    assert set(addresses.values()) == {"10.77.0.1", "10.77.0.2", "10.77.0.3"}
    assert {view["public_address"] for view in mesh.views().values()} == {f"203.0.113.{n}" for n in (10, 11, 12)}
    until("all are seen", lambda: all(view["present"] for view in mesh.views().values()))

    rows = mesh.larva("status", "mesh", "--trials", "2", "--wait", "60")
    assert {row["host"] for row in rows} == {"a", "b", "c"}
    for row in rows:
        assert {cell["destination"] for cell in row["latencies"]} == {"a", "b", "c"} - {row["host"]}
        for cell in row["latencies"]:
            assert (cell["sent"], cell["received"]) == (2, 2)
            assert 0 < cell["min_ms"] <= cell["avg_ms"] <= cell["max_ms"]
        assert (row["interface"], row["datapath"]) == ("cbnet0", "wireguard-go")

    with mesh.traffic("a", addresses["b"]):  # a fourth host joins and leaves: the others notice nothing
        mesh.add_host("d", 13)
        addresses |= mesh.wait_mesh("a", "d")
        mesh.larva_plain("leave", "mesh", "d")
        until("d's interface is gone", lambda: not mesh.has_interface("d"))
        until("d's rule is gone", lambda: "d" not in mesh.views())
    assert not mesh.reaches("a", addresses["d"])

    mesh.ip("c", "addr", "del", "203.0.113.12/24", "dev", "eth0")
    mesh.ip("c", "addr", "add", "203.0.113.99/24", "dev", "eth0")
    until("c's new address is known", lambda: mesh.views()["c"]["public_address"] == "203.0.113.99")
    assert mesh.wait_mesh("a", "b", "c")["c"] == addresses["c"]

    mesh.larva_plain("down", "mesh", "b")
    until("b is down", lambda: not mesh.has_interface("b"))
    mesh.larva_plain("up", "mesh", "b")
    assert mesh.wait_mesh("a", "b")["b"] == addresses["b"]

    mesh.larva_plain("delete", "mesh", "--yes")
    for host in ("a", "b", "c"):
        until(f"{host}'s interface is gone", lambda host=host: not mesh.has_interface(host))
    assert mesh.larva("list") == []
    assert keys.ROOT not in mesh.etcdctl("get", "--prefix", "--keys-only", keys.ROOT)


def test_a_removed_host_is_out_at_once_whoever_runs(mesh: Mesh) -> None:
    for number, host in enumerate(("a", "b", "c"), start=10):
        mesh.add_host(host, number)
    addresses = mesh.wait_mesh("a", "b", "c")
    environment = ("env", f"LARVA_STATE={mesh.state('control')}")
    with mesh.traffic("a", addresses["c"]):
        mesh.inside("control", *environment, LARVA, "enrol", "remove", "b")
        until("no rule is left", lambda: "b" not in mesh.views())
        until("its agent left by itself", lambda: not mesh.has_interface("b"))
        until("no peer knows it", lambda: not mesh.reaches("a", addresses["b"]))
    assert mesh.is_refused("b", keys.rules_of(mesh.group))
    mesh.end("controller")
    mesh.inside("control", *environment, LARVA, "enrol", "remove", "c")
    assert mesh.is_refused("c", keys.rules_of(mesh.group))
    assert not mesh.is_refused("a", keys.rules_of(mesh.group))


def test_a_rule_type_and_a_larger_range_are_taken_up_without_losing_a_packet(mesh: Mesh) -> None:
    mesh.ip("net", "link", "add", "br1", "type", "bridge")
    mesh.ip("net", "link", "set", "br1", "up")
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    addresses = mesh.wait_mesh("a", "b")
    for number, host in enumerate(("a", "b"), start=10):  # a private wire between them, besides the public one
        run(
            "ip",
            "link",
            "add",
            "eth1",
            "netns",
            mesh.ns(host),
            "type",
            "veth",
            "peer",
            f"q-{host}",
            "netns",
            mesh.ns("net"),
        )
        mesh.ip("net", "link", "set", f"q-{host}", "master", "br1", "up")
        mesh.ip(host, "addr", "add", f"10.9.0.{number}/24", "dev", "eth1")
        mesh.ip(host, "link", "set", "eth1", "up")

    def endpoint(host: str) -> str:
        return mesh.agent_status(host)["cladnets"][0]["peers"][0]["endpoint"][0]

    until("a takes the private wire, which costs nothing", lambda: endpoint("a") == "10.9.0.11")
    with mesh.traffic("a", addresses["b"]):
        assert mesh.larva("update", "mesh", "--rule", "basic")["rule_type"] == "basic"
        until("a takes the public wire", lambda: endpoint("a") == "203.0.113.11")
        until("b takes the public wire", lambda: endpoint("b") == "203.0.113.10")
        mesh.larva("update", "mesh", "--rule", "cost-prioritized")
        until("a takes the private wire again", lambda: endpoint("a") == "10.9.0.11")

        assert mesh.larva("update", "mesh", "--cidr", "10.77.0.0/16", "--name", "wide")["cidr"] == "10.77.0.0/16"
        for host in ("a", "b"):
            wide = f"{addresses[host]}/16"
            until(f"{host} has {wide}", lambda host=host, wide=wide: wide in mesh.ip(host, "addr", "show", "cbnet0"))
            assert f"{addresses[host]}/24" not in mesh.ip(host, "addr", "show", "cbnet0")
    assert mesh.doctor("a")["healthy"], mesh.doctor("a")


def test_the_doctor_and_the_metrics_tell_what_is_so(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    mesh.wait_mesh("a", "b")
    until(
        "both are seen",
        lambda: all(view["present"] and view["state"] == "active" for view in mesh.views().values()),
    )
    lines = mesh.larva_plain("status", "mesh", "--csv", "--watch").splitlines()
    assert lines[0].startswith("source,destination,")
    assert {tuple(line.split(",")[:2]) for line in lines[1:]} == {("a", "b"), ("b", "a")}
    assert {line.split(" → ")[0] for line in mesh.larva_plain("status", "mesh", "--watch").splitlines()} == {"a", "b"}
    loaded = mesh.mapped("agent-a")
    assert any(name.startswith("cygrpc") for name in loaded)
    assert not [name for name in loaded if name.startswith(("libcrypto", "libssl", "_sodium", "_sqlite3"))]

    report = mesh.doctor("a")
    assert report["healthy"], report
    assert any("wireguard-go" in finding["what"] for finding in report["findings"])

    def metrics_of(host: str) -> str:
        return mesh.inside(host, sys.executable, "-c", READ, "http://127.0.0.1:9101/metrics")

    metrics = metrics_of("a")
    for name in ("peer_handshake_age_seconds", "peer_received_bytes_total", "status_test_rtt_seconds"):
        value = re.search(rf'^larva_{name}{{cladnet="{mesh.group}",peer="b"}} ([0-9.e+-]+)$', metrics, re.M)
        assert value, metrics
        assert float(value[1]) >= 0
    assert f'larva_status_test_loss_ratio{{cladnet="{mesh.group}",peer="b"}} 0\n' in metrics
    until("the path is measured", lambda: "larva_peer_rtt_seconds{" in metrics_of("a"))
    assert f'larva_alarms{{cladnet="{mesh.group}",kind="unreachable"}} 0\n' in metrics_of("a")
    assert f'larva_reconcile_lag_seconds{{reconciler="network {mesh.group}"}}' in metrics
    controller = mesh.inside("control", sys.executable, "-c", READ, "http://127.0.0.1:9102/metrics")
    assert re.search(r'^larva_controller_steps_total{result="done"} [1-9]', controller, re.M), controller
    assert re.search(r'^larva_reconcile_handled_revision{reconciler="controller"} [1-9]', controller, re.M), controller

    mesh.end("controller")  # b stays somebody who should be there, however long the rest takes
    mesh.end("agent-b")
    mesh.ip("b", "link", "set", "eth0", "down")  # b can no longer be reached
    mesh.end("agent-a")
    mesh.ip("a", "link", "del", "cbnet0")
    report = mesh.doctor("a")
    assert not report["healthy"]
    assert any("cbnet0 is not there" in finding["what"] for finding in report["findings"]), report
    mesh.start_agent("a")
    until(
        "a says that nothing comes",
        lambda: any("UDP port 51820" in each["what"] for each in mesh.doctor("a")["findings"]),
    )

    mesh.etcd.kill()
    report = mesh.doctor("a")
    (told,) = [finding["what"] for finding in report["findings"] if finding["about"] == "etcd"]
    assert f"{mesh.etcd.endpoints[0]}: Connection refused" in told
    status = mesh.agent_status("a")["cladnets"][0]
    assert (status["from_cache"], [peer["host"] for peer in status["peers"]]) == (True, ["b"])


def test_ipv6_is_turned_on_and_off_without_losing_a_packet_of_ipv4(mesh: Mesh) -> None:
    for number, host in enumerate(("a", "b", "c"), start=10):
        mesh.add_host(host, number)
    mesh.inside("c", "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    addresses = mesh.wait_mesh("a", "b", "c")
    with mesh.traffic("a", addresses["b"]):
        prefix = str(mesh.larva("update", "mesh", "--ipv6")["cidr6"])
        until("a and b have a second address", lambda: all(mesh.views()[host]["address6"] for host in ("a", "b")))
        second = {host: str(mesh.views()[host]["address6"]) for host in ("a", "b")}
        assert all(address.startswith(prefix.removesuffix(":/64")) for address in second.values())
        until(f"a reaches b by IPv6\n{mesh.log('a')}", lambda: mesh.reaches("a", second["b"]))
        until("b reaches a by IPv6", lambda: mesh.reaches("b", second["a"]))
    until("c tells why it has none", lambda: "kernel has none" in mesh.views()["c"]["ipv6_problem"])
    assert mesh.reaches("a", addresses["c"])
    found = mesh.doctor("c")["findings"]
    assert [each for each in found if each["severity"] == "note" and "disable_ipv6" in each["what"]], found
    assert mesh.doctor("a")["healthy"], mesh.doctor("a")
    assert mesh.agent_status("a")["cladnets"][0]["address6"] == second["a"]
    until("the cache has it", lambda: second["b"] in (mesh.state("a") / "rules" / f"{mesh.group}.json").read_text())

    mesh.larva("update", "mesh", "--ipv6", "off")
    for host in ("a", "b"):
        until("it is gone", lambda host=host: second[host] not in mesh.ip(host, "addr", "show", "cbnet0"))
        assert mesh.views()[host]["address6"] is None
    assert not mesh.reaches("a", second["b"])
    assert mesh.wait_mesh("a", "b", "c") == addresses


def test_a_cut_host_raises_alarms_that_clear_when_it_heals_and_a_restart_keeps_what_was_measured(mesh: Mesh) -> None:
    for number, host in enumerate(("a", "b", "c"), start=10):
        mesh.add_host(host, number)
    mesh.wait_mesh("a", "b", "c")

    def rows() -> dict[str, HostQuality]:
        told = mesh.etcdctl("get", "--prefix", "--print-value-only", keys.qualities_of(mesh.group)).splitlines()
        found = [codec.decode(line, HostQuality, source="etcd") for line in told if line]
        return {row.host: row for row in found}

    def alarms(host: str) -> set[tuple[str, str]]:
        return {(alarm.kind, alarm.destination) for alarm in rows()[host].alarms}

    until("every host tells of both its peers", lambda: [len(row.pairs) for row in rows().values()] == [2, 2, 2])
    paths = mesh.larva("quality", "mesh", "--window", "24h")
    assert {(path["source"], path["destination"]) for path in paths} == set(itertools.permutations("abc", 2))
    assert all(path["sent"] >= path["received"] > 0 < path["avg_ms"] for path in paths)
    lines = mesh.larva_plain("quality", "mesh", "--csv").splitlines()
    assert (len(lines), lines[0].split(",")[:3]) == (7, ["source", "destination", "window"])
    assert mesh.larva("alarms", "mesh") == {"summary": [], "alarms": []}
    port = f"p{mesh._hosts.index('c') + 1}-c"
    mesh.ip("net", "link", "set", port, "down")
    for host in ("a", "b"):
        until(f"{host} raises the alarm", lambda host=host: alarms(host) == {("unreachable", "c")})
    (told,) = [line for line in mesh.larva("alarms", "mesh")["summary"] if line["destination"] == "c"]
    assert (told["kind"], told["sources"], told["alarms"]) == ("unreachable", ["a", "b"], 2)
    assert re.search(r"unreachable +c +a, b ", mesh.larva_plain("alarms", "mesh"))
    until("a has it on disk", lambda: mesh.agent_status("a")["cladnets"][0]["alarms"])
    since = rows()["a"].alarms[0].since

    mesh.end("agent-a", signal.SIGTERM)
    kept = mesh.state("a") / "probes" / f"{mesh.group}.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    sent = max(pair.over(Window.DAY).sent for pair in rows()["a"].pairs)
    written = rows()["a"].written_at
    mesh.start_agent("a")
    until("a tells again", lambda: rows()["a"].written_at > written)
    assert rows()["a"].alarms[0].since == since, "an agent that is restarted knows since when"
    assert max(pair.over(Window.DAY).sent for pair in rows()["a"].pairs) >= sent

    mesh.ip("net", "link", "set", port, "up")
    for host in ("a", "b", "c"):
        until(f"{host} is content", lambda host=host: alarms(host) == set())


def test_encryption_is_turned_off_and_on_while_hosts_are_there(mesh: Mesh) -> None:
    for number, host in enumerate(("a", "b", "c"), start=10):
        mesh.add_host(host, number)
    mesh.larva("update", "mesh", "--ipv6")
    addresses = mesh.wait_mesh("a", "b", "c")
    second = {host: str(mesh.views()[host]["address6"]) for host in addresses}

    def carried(host: str) -> str:
        return str(mesh.agent_status(host)["cladnets"][0]["datapath"])

    warned = mesh.run_larva("control", "net", "update", "mesh", "--encryption", "off")
    assert "reads and forges" in warned.stderr
    for host in addresses:
        until(f"{host} has changed over\n{mesh.log(host)}", lambda host=host: carried(host) == "vxlan")
    assert mesh.wait_mesh("a", "b", "c") == addresses
    until("b is reached by IPv6", lambda: mesh.reaches("a", second["b"]))
    assert "mtu 1450" in mesh.ip("a", "link", "show", "cbnet0")
    assert mesh.doctor("a")["healthy"], mesh.doctor("a")
    assert "encryption is off" in str(mesh.doctor("a")["findings"])
    peers = mesh.agent_status("a")["cladnets"][0]["peers"]
    assert [(peer["host"], peer["endpoint"], peer["answers"]) for peer in peers] == [
        ("b", ["203.0.113.11", 51820], True), ("c", ["203.0.113.12", 51820], True),
    ]  # fmt: skip
    mesh.end("agent-a")  # the network outlives the agent, and the next one adopts it
    assert mesh.reaches("b", addresses["a"])
    mesh.start_agent("a")
    with mesh.traffic("b", addresses["a"]):
        mesh.ip("c", "addr", "del", "203.0.113.12/24", "dev", "eth0")
        mesh.ip("c", "addr", "add", "203.0.113.99/24", "dev", "eth0")
        until("c's new address is known", lambda: mesh.views()["c"]["public_address"] == "203.0.113.99")
        mesh.wait_mesh("a", "b", "c")

    mesh.larva("update", "mesh", "--encryption", "on")
    for host in addresses:
        until(f"{host} has changed back\n{mesh.log(host)}", lambda host=host: carried(host) == "wireguard-go")
        assert mesh.inside(host, "nft", "list", "tables") == ""
    assert mesh.wait_mesh("a", "b", "c") == addresses
