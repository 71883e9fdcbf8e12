"""The main job, end to end: the image on three clouds, one network, one Ceph, one volume, and what happens to it.

One lab for the whole file. Tried here: a host added while the others run, one removed, one re-addressed; controller,
etcd and the whole control node gone, a reboot without them; a cloud lost; tokens and names that must be refused.
"""

import contextlib
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from listening import unexpected
from playwright.sync_api import expect, sync_playwright

from images.clouds.lab.lab import Lab
from images.clouds.lab.topology import Role
from images.demo.story import wait_until
from images.demo.up import CIDR, CLADNET, MOUNT_POINT, Demo, cloud_facts
from images.demo.userdata import cloud_config, join_toml
from images.pipeline import Pipeline
from larva.errors import LarvaError, ProgramFailed

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow]

FIND_SECRETS = (
    "find /var/lib/larva /etc/larva /etc/ceph /var/lib/ceph -type f "
    r"\( -name '*.key' -o -name '*keyring*' -o -name join.toml -o -path '*/identity/*' \)"
)
SHORT_LIVED = """
from datetime import UTC, datetime, timedelta
from cladnet.access.root import open_root
from cladnet.control import own_certificates
from cladnet.enrol import authority
authority.LEAF_LIFETIME = timedelta(minutes=15)
own_certificates.renew(open_root, clock=lambda: datetime.now(UTC) + timedelta(days=360))
"""
DAYS_LEFT = """
from datetime import UTC, datetime
from cladnet.control import own_certificates
from cladnet.enrol.authority import read_certificate
for path in own_certificates.paths().values():
    print((read_certificate(path.read_text(), source=str(path)).not_valid_after_utc - datetime.now(UTC)).days)
"""
KNOCK = """
import concurrent.futures, json, socket, sys
def knock(at):
    try:
        socket.create_connection((at[0], int(at[1])), timeout=5).close()
        return "open"
    except TimeoutError:
        return "silent"
    except OSError as error:
        return error.strerror
places = [word.split(":") for word in sys.argv[1:]]
with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
    print(json.dumps(dict(zip(sys.argv[1:], pool.map(knock, places)))))
"""
FORGOTTEN = """
import socket
with socket.create_server(("0.0.0.0", 7000)) as server:
    while True:
        server.accept()[0].close()
"""
CHROMIUM = "/usr/bin/chromium"
LARVA = Path(sys.executable).with_name("larva")


def larva(*words: str, timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LARVA, *words], capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """`larva demo up` as a stranger types it; the lab is removed at the end."""
    run_id = f"t{secrets.token_hex(3)}"
    report = tmp_path_factory.mktemp("demo") / "up.json"
    try:
        done = larva("demo", "up", "--run", run_id, "--json", str(report), timeout=900)
        assert done.returncode == 0, done.stderr
        yield {"run": run_id, "told": done.stderr, **json.loads(report.read_text())}
    finally:
        larva("demo", "down", "--run", run_id, timeout=120)


@pytest.fixture(scope="module")
def demo(story: dict[str, Any]) -> Demo:
    return Demo(Lab.find(story["run"]))


@pytest.fixture(scope="module")
def group(demo: Demo) -> str:
    return str(demo.ask("net", "show", CLADNET)["id"])


def pings(demo: Demo, source: str, target: IPv4Address | str) -> bool:
    with contextlib.suppress(ProgramFailed):
        demo.run(source, ["ping", "-n", "-c", "1", "-W", "2", str(target)], timeout=15)
        return True
    return False


def overlay_addresses(demo: Demo, group: str) -> dict[str, str]:
    return {host["host"]: host["address"] for host in demo.ask("net", "hosts", group) if host["address"]}


def test_up_reaches_every_milestone(story: dict[str, Any], demo: Demo) -> None:
    assert all(step["ok"] for step in story["steps"])
    assert "console: https://127.0.0.1:" in story["told"]
    assert [step["name"].split(":")[0] for step in story["steps"]] == [
        "image", "lab", "control", "hosts", "control", "mesh", "storage", "storage", "volume",
    ]  # fmt: skip
    assert story["steps"][4]["name"] == "control: 3 nodes in 3 clouds"
    mounted = [
        demo.run(host.name, ["stat", "-f", "-c", "%T", str(MOUNT_POINT)]).strip() for host in demo.topology.hosts
    ]
    assert all("fuse" in kind or "ceph" in kind for kind in mounted)


def test_no_unit_failed_on_any_host(demo: Demo) -> None:
    for host in demo.topology.hosts:
        failed = demo.run(host.name, ["systemctl", "list-units", "--failed", "--plain", "--no-legend"])
        assert failed.strip() == "", f"{host.name}: {failed}"


def test_secrets_on_hosts_are_private(demo: Demo) -> None:
    for host in demo.topology.hosts:
        loose = demo.run(host.name, ["sh", "-c", f"{FIND_SECRETS} -perm /077 || true"])
        assert loose.strip() == "", f"{host.name}: {loose}"


def test_nothing_listens_that_the_roles_do_not_need(demo: Demo) -> None:
    for host in demo.topology.hosts:
        told = demo.run(host.name, ["ss", "-H", "--listening", "--numeric", "--tcp", "--udp"])
        assert unexpected(told, host.roles, IPv4Network(CIDR)) == [], host.name


def test_the_firewall_lets_in_what_the_roles_need_and_no_more(demo: Demo, group: str) -> None:
    """Also not what somebody forgot to bind to loopback; a member of the CLADNet is trusted with that."""
    control, storage = demo.topology.host("control-2"), demo.topology.host("gcp-1")
    overlay = overlay_addresses(demo, group)
    for host in (control, storage):
        demo.run(host.name, ["systemd-run", "--quiet", "--unit=forgotten", "python3", "-c", FORGOTTEN])
    here = [f"{overlay[storage.name]}:7000", f"{overlay[control.name]}:7000"]
    there = {
        f"{host.public}:{port}": "open" if port in opened else "silent"
        for host, opened in ((control, (22, 2379, 2380, 8443)), (storage, (22,)))
        for port in (22, 445, 2379, 2380, 3300, 6800, 7000, 8053, 8443, 9101)
    }
    wanted = there | dict.fromkeys(here, "open")
    try:
        wait_until("both serve", lambda: set(knocked(demo, "azure-1", here).values()) == {"open"}, timeout_s=30)
        assert knocked(demo, "azure-1", list(wanted)) == wanted
    finally:
        for host in (control, storage):
            demo.run(host.name, ["systemctl", "stop", "forgotten"])


def knocked(demo: Demo, host: str, places: list[str]) -> dict[str, str]:
    """What a host finds behind each `address:port`: it is open, silent, or whatever an error says."""
    return dict(json.loads(demo.run(host, ["python3", "-c", KNOCK, *places], timeout=60)))


def test_nobody_logs_in_by_a_password(demo: Demo) -> None:
    for host in demo.topology.hosts:
        told = demo.run(host.name, ["sshd", "-T"]).splitlines()
        assert {"passwordauthentication no", "kbdinteractiveauthentication no"} <= set(told), host.name
        rows = [line.split(":") for line in demo.run(host.name, ["cat", "/etc/shadow"]).splitlines()]
        assert [row[0] for row in rows if row[1][:1] not in {"!", "*"}] == [], host.name


def test_a_control_node_s_certificates_are_renewed_by_its_unit(demo: Demo) -> None:
    """In the unit's own confinement: all of them end within minutes when systemd starts it, and none afterwards."""
    host = demo.control_nodes[-1].name
    python = ["/usr/lib/larva/bin/python3", "-I", "-c"]
    demo.run(host, [*python, SHORT_LIVED], timeout=120)
    assert demo.run(host, [*python, DAYS_LEFT]).split() == ["0"] * 5
    demo.run(host, ["systemctl", "start", "larva-renew.service"], timeout=180)
    shown = demo.run(host, ["systemctl", "show", "--property=Result,ExecMainStatus", "larva-renew.service"])
    assert sorted(shown.split()) == ["ExecMainStatus=0", "Result=success"]
    assert all(int(days) > 300 for days in demo.run(host, [*python, DAYS_LEFT]).split())
    wait_until("all are well", lambda: well(demo, host) == len(demo.control_nodes), timeout_s=60)


def test_nearby_hosts_meet_at_private_addresses(demo: Demo, group: str) -> None:
    """The default rule is cost-prioritized: control and aws-1 share a network, as the provider bills it."""
    aws = demo.topology.host("aws-1")
    endpoints = demo.run("control", ["wg", "show", "cbnet0", "endpoints"])
    assert f"{aws.private}:" in endpoints
    assert f"{demo.topology.host('gcp-1').public}:" in endpoints


def test_the_seeds_distances_show_in_the_matrix(demo: Demo, group: str) -> None:
    demo.lab.rtt(on=True)
    try:
        rows = demo.ask("net", "status", group, "--trials", "2", "--wait", "30", timeout=60)
    finally:
        demo.lab.rtt(on=False)
    measured = {(row["host"], cell["destination"]): cell["min_ms"] for row in rows for cell in row["latencies"]}
    for one in demo.storage:
        for other in demo.storage:
            if one.cloud != other.cloud:
                assert measured[one.name, other.name] >= demo.topology.rtt_ms(one.cloud, other.cloud)


def test_the_old_api_answers_on_the_control_node_and_nowhere_else(demo: Demo, group: str) -> None:
    """Without a login: programs on that node, and nobody in the CLADNet, whom the firewall trusts."""
    control = demo.control.name

    def peers(host: str, address: str) -> Any:
        url = f"http://{address}:8053/v1/cladnet/{CLADNET}/peer"
        code = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=10).read().decode())"
        return json.loads(demo.run(host, ["python3", "-c", code], timeout=30))["peers"]

    addresses = overlay_addresses(demo, group)
    found = {peer["hostId"]: (peer["ip"], peer["state"]) for peer in peers(control, "127.0.0.1")}
    assert found == {host: (address, "tunneling") for host, address in addresses.items()}
    other = next(host for host in addresses if host != control)
    with pytest.raises(ProgramFailed, match="refused"):
        peers(other, addresses[control])


def test_control_plane_gone_and_traffic_goes_on(demo: Demo, group: str) -> None:
    addresses = overlay_addresses(demo, group)
    for node in demo.control_nodes:
        demo.run(node.name, ["systemctl", "stop", "larva-controller", "larva-etcd"], timeout=90)
    assert pings(demo, "gcp-1", addresses["azure-1"])
    for node in demo.control_nodes:
        demo.lab.machine(node.name).power_off(hard=True)
    assert pings(demo, "gcp-1", addresses["azure-1"])
    demo.run("gcp-1", ["systemctl", "restart", "larva-agent"])
    wait_until("the agent is back", lambda: pings(demo, "gcp-1", addresses["azure-1"]), timeout_s=60)
    demo.lab.machine("gcp-1").power_off(hard=True)
    demo.lab.machine("gcp-1").power_on()
    wait_until(
        "gcp-1 is back from its cache, without etcd",
        lambda: pings(demo, "azure-1", addresses["gcp-1"]),
        timeout_s=120,
    )
    for node in demo.control_nodes:
        demo.lab.machine(node.name).power_on()
    wait_until(
        "the control plane is back", lambda: len(overlay_addresses(demo, group)) == len(addresses), timeout_s=120
    )
    assert overlay_addresses(demo, group) == addresses
    wait_until("every control node is well", lambda: well(demo, "control-2") == 3, timeout_s=180)
    wait_until(
        "gcp-1's mount is back",
        lambda: bool(demo.run("gcp-1", ["timeout", "5", "ls", str(MOUNT_POINT)]) or True),
        timeout_s=180,
    )


def test_the_first_control_nodes_cloud_is_lost_and_work_goes_on(demo: Demo, group: str) -> None:
    """Whoever asks another control node is answered, a new host enrols there, traffic and its peers go on; it heals."""
    addresses = overlay_addresses(demo, group)
    new = replace(
        demo.topology.host("gcp-1"), name="gcp-3", private=IPv4Address("10.0.0.12"),
        public=IPv4Address("203.0.113.82"), disks=(), roles=(Role.MEMBER,),
    )  # fmt: skip
    demo.lab.add_host(new)
    demo.lab.cut("aws")
    try:
        assert pings(demo, "gcp-1", addresses["azure-1"])
        wait_until("another control node answers", lambda: answers(demo, "control-2"), timeout_s=60)
        words = ["larva", "enrol", "token", "create", "--group", group, "--role", "member", "--json"]
        material = json.loads(demo.run("control-2", words))
        text = join_toml(roles=["member"], cloud=cloud_facts(demo.topology, new), join=material)
        demo.lab.launch(new.name, cloud_config(text))
        hosts = ["larva", "net", "hosts", group, "--json"]
        wait_until(
            "gcp-3 has an address",
            lambda: any(
                host["host"] == new.name and host["address"] for host in json.loads(demo.run("control-3", hosts))
            ),
            timeout_s=120,
        )
        found = json.loads(demo.run("control-3", hosts))
        address = next(host["address"] for host in found if host["host"] == new.name)
        wait_until("azure-1 reaches gcp-3", lambda: pings(demo, "azure-1", address), timeout_s=60)
        states = {node["host"]: node["state"] for node in control_nodes(demo, "control-2")}
        assert states == {"control": "silent", "control-2": "healthy", "control-3": "healthy"}
    finally:
        demo.lab.heal("aws")
    wait_until("every control node is well", lambda: well(demo, "control") == 3, timeout_s=120)
    wait_until("aws-1 reaches gcp-3", lambda: pings(demo, "aws-1", address), timeout_s=120)
    demo.larva("enrol", "remove", new.name)
    demo.lab.machine(new.name).stop()


def control_nodes(demo: Demo, on: str) -> list[Any]:
    return list(json.loads(demo.run(on, ["larva", "control", "list", "--json"])))


def well(demo: Demo, on: str) -> int:
    try:
        return sum(node["state"] == "healthy" for node in control_nodes(demo, on))
    except ProgramFailed:
        return 0


def answers(demo: Demo, on: str) -> bool:
    with contextlib.suppress(ProgramFailed):
        return bool(json.loads(demo.run(on, ["larva", "net", "list", "--json"])))
    return False


def test_a_host_is_added_re_addressed_and_removed(demo: Demo, group: str) -> None:
    gcp = demo.topology.host("gcp-1")
    new = replace(
        gcp, name="gcp-2", private=IPv4Address("10.0.0.9"), public=IPv4Address("203.0.113.80"), disks=(),
        roles=(Role.MEMBER,),
    )  # fmt: skip
    demo.lab.add_host(new)
    material = demo.ask("enrol", "token", "create", "--group", group, "--role", "member")
    text = join_toml(roles=["member"], cloud=cloud_facts(demo.topology, new), join=material)
    demo.lab.launch(new.name, cloud_config(text))
    wait_until("gcp-2 has an address", lambda: "gcp-2" in overlay_addresses(demo, group), timeout_s=90)
    address = overlay_addresses(demo, group)["gcp-2"]
    wait_until("azure-1 reaches gcp-2", lambda: pings(demo, "azure-1", address), timeout_s=60)

    demo.lab.readdress("gcp-2", public=IPv4Address("203.0.113.81"))
    wait_until(
        "the rules tell the new public address",
        lambda: "203.0.113.81" in demo.run("azure-1", ["wg", "show", "cbnet0", "endpoints"]),
        timeout_s=120,
    )
    wait_until("azure-1 reaches gcp-2 again", lambda: pings(demo, "azure-1", address), timeout_s=60)
    assert overlay_addresses(demo, group)["gcp-2"] == address

    demo.larva("enrol", "remove", "gcp-2")
    wait_until("gcp-2 is gone", lambda: "gcp-2" not in overlay_addresses(demo, group), timeout_s=90)
    wait_until(
        "no peer sends to it", lambda: address not in demo.run("azure-1", ["wg", "show", "cbnet0"]), timeout_s=60
    )
    demo.lab.machine("gcp-2").stop()


def test_an_expired_token_enrols_nobody(demo: Demo, group: str) -> None:
    """The VM's larva-boot ends with the refusal and does not try for ever."""
    material = demo.ask("enrol", "token", "create", "--group", group, "--role", "member", "--ttl", "1s")
    text = join_toml(roles=["member"], cloud={}, join=material)
    spare = replace(
        demo.topology.host("azure-1"), name="azure-2", private=IPv4Address("10.0.0.9"),
        public=IPv4Address("203.0.113.150"), disks=(), roles=(Role.MEMBER,),
    )  # fmt: skip
    demo.lab.add_host(spare)
    demo.lab.launch(spare.name, cloud_config(text))
    state = ["systemctl", "show", "--property=ActiveState,ExecMainStatus", "larva-boot"]
    wait_until("larva-boot gave up", lambda: "failed" in demo.run(spare.name, state), timeout_s=90)
    assert "ExecMainStatus=77" in demo.run(spare.name, state)
    assert "expired" in demo.run(spare.name, ["journalctl", "--unit", "larva-boot", "--no-pager"])
    assert spare.name not in overlay_addresses(demo, group)
    demo.lab.machine(spare.name).stop()


def test_the_package_alone_makes_a_member(demo: Demo, group: str) -> None:
    """On a running Debian 13 without our software, `dpkg --install` and `larva join` are enough."""
    bare = replace(
        demo.topology.host("azure-1"), name="azure-3", private=IPv4Address("10.0.0.11"),
        public=IPv4Address("203.0.113.152"), disks=(), roles=(Role.MEMBER,),
    )  # fmt: skip
    demo.lab.add_host(bare)
    machine = demo.lab.launch(bare.name, "#cloud-config\n{}\n")
    machine.wait_running()
    machine.run(["dpkg", "--purge", "larva"])
    assert machine.run(["sh", "-c", "ls -d /usr/lib/larva /etc/larva /var/lib/larva/[!d]* 2>/dev/null || true"]) == ""

    machine.run(["sh", "-c", "cat > /tmp/larva.deb"], input=Pipeline("full").make_package().read_bytes())
    machine.run(["dpkg", "--install", "/tmp/larva.deb"], timeout=180)
    material = demo.ask("enrol", "token", "create", "--group", group, "--role", "member")
    machine.run(
        ["larva", "join", "--server", material["server"], "--ca", material["ca"], "--role", "member"],
        env={"LARVA_TOKEN": material["token"]}, timeout=180,
    )  # fmt: skip
    wait_until("azure-3 has an address", lambda: bare.name in overlay_addresses(demo, group), timeout_s=90)
    address = overlay_addresses(demo, group)[bare.name]
    wait_until("gcp-1 reaches azure-3", lambda: pings(demo, "gcp-1", address), timeout_s=60)
    demo.larva("enrol", "remove", bare.name)
    machine.stop()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["net", "create", "192.168.10.1/26", "--name", "x"], "192.168.10.0/26"),
        (["net", "create", "nonsense", "--name", "x"], "nonsense"),
        (["net", "create", "192.168.10.32/27", "--name", "x"], "overlap"),
        (["net", "create", "192.168.77.0/26", "--name", CLADNET], CLADNET),
        (["net", "show", "no-such-net"], "no-such-net"),
        (["volume", "create", "shared", "--size", "1G"], "shared"),
        (["volume", "create", "other", "--size", "much"], "much"),
        (["volume", "mount", "shared", "--on", "nobody", "--at", "/mnt/x"], "nobody"),
        (["storage", "init", "--group", CLADNET], "storage"),
        (["enrol", "token", "create", "--group", "no-such-net"], "no-such-net"),
    ],
)
def test_bad_input_is_refused_with_a_message(demo: Demo, words: list[str], said: str) -> None:
    with pytest.raises(ProgramFailed) as caught:
        demo.larva(*words)
    assert said in caught.value.message
    assert "Traceback" not in caught.value.message


def test_bad_input_to_the_lab_is_refused(story: dict[str, Any]) -> None:
    taken = larva("demo", "up", "--run", story["run"], timeout=120)
    assert taken.returncode == 73
    assert f"a lab {story['run']} is there already" in taken.stderr
    nobody = larva("demo", "exec", "--run", story["run"], "nobody", "--", "true", timeout=60)
    assert nobody.returncode == 66
    assert "hint:" in nobody.stderr
    assert larva("demo", "prove", "--run", "nolab", timeout=60).returncode == 66


def test_test_case_two(story: dict[str, Any], tmp_path: Path) -> None:
    """The proof, as `larva demo prove` tells it: fails without the overlay, holds with it."""
    report = tmp_path / "prove.json"
    done = larva("demo", "prove", "--run", story["run"], "--json", str(report), timeout=900)
    assert done.returncode == 0, done.stderr
    steps = json.loads(report.read_text())["steps"]
    assert len(steps) == 7
    assert all(step["ok"] and step["evidence"] for step in steps)


def test_a_volume_is_made_and_mounted_from_the_console(demo: Demo) -> None:
    """A real browser on the demo's own console: what it asks for happens on the hosts."""
    port = demo.lab.forward(demo.control.name, 8443)
    first = demo.ask("console", "first-run")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page(ignore_https_errors=True)
        page.set_default_timeout(60_000)
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(f"https://127.0.0.1:{port}/")
        page.get_by_label("User").fill(first["user"])
        page.get_by_label("Password").fill(first["password"])
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("navigation").get_by_role("link", name="CLADNets").click()
        page.get_by_role("link", name=CLADNET, exact=True).click()
        for host in demo.storage:
            expect(page.get_by_role("row").filter(has_text=host.name).first).to_be_visible()
        page.get_by_role("navigation").get_by_role("link", name="Volumes").click()
        page.get_by_role("link", name="Create a volume").click()
        page.get_by_role("button", name="Next").click()
        page.get_by_label("Name").fill("by-hand")
        page.get_by_role("button", name="Next").click()
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("heading", name="by-hand", exact=False).first).to_contain_text("ready", timeout=60_000)
        mount = page.locator("#mount")
        for host in demo.storage:
            mount.get_by_role("checkbox", name=host.name).check()
        mount.get_by_label("Path").fill("/mnt/by-hand")
        mount.get_by_role("button", name="Mount", exact=True).click()
        for host in demo.storage:
            row = page.get_by_role("region", name="Where this volume is mounted").get_by_role("row", name=host.name)
            expect(row).to_contain_text("mounted", timeout=90_000)
        browser.close()
    assert complaints == []
    writer, *readers = demo.storage
    demo.run(writer.name, ["sh", "-c", "echo by hand > /mnt/by-hand/file && sync /mnt/by-hand/file"])
    for reader in readers:
        assert demo.run(reader.name, ["cat", "/mnt/by-hand/file"]) == "by hand\n"


def test_nothing_is_left_after_down(story: dict[str, Any]) -> None:
    """Last: the lab is taken down, and its names are gone from namespaces, mounts and processes."""
    done = larva("demo", "down", "--run", story["run"], timeout=120)
    assert done.returncode == 0, done.stderr
    left = subprocess.run(["ip", "netns"], capture_output=True, text=True, timeout=10, check=True).stdout
    left += Path("/proc/mounts").read_text()
    assert story["run"] not in left
    with pytest.raises(LarvaError):
        Lab.find(story["run"])
