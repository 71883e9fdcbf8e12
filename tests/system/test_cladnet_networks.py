"""The life cycle of CLADNets against a real etcd, with all the ways to ask for what cannot be."""

import base64
import json
import threading
import time
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from click.testing import CliRunner, Result

from cladnet import keys, network_hosts, networks, status_tests
from cladnet.commands import net as cli
from cladnet.control.controller import Controller
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import (
    CladnetState,
    CloudFacts,
    Command,
    ControlCommand,
    EnrolledHost,
    HostNetworkInformation,
    HostState,
    HostStatus,
    NetworkingRule,
    NetworkInterface,
    Role,
    TestSpecification,
)
from larva.errors import Conflict, InvalidInput, NotFound, TimedOut, Unavailable

PATIENCE_S = 60.0


@pytest.fixture
def store(etcd):
    """A connection to a new etcd."""
    with etcd.store() as opened:
        yield opened


def join(store: Store, group: str, host: str, network: str = "172.20.0.4/24") -> None:
    """What an enrolled host and its agent write."""
    store.put(
        keys.host_information(group, host),
        HostNetworkInformation(
            host=host, public_address=IPv4Address("203.0.113.4"),
            interfaces=(NetworkInterface(name="eth0", mtu=1500, addresses=(IPv4Interface(network),)),),
            listen_port=51820, public_key=base64.b64encode(host.encode().ljust(32)).decode(), seal_key="",
            cloud=CloudFacts(provider="aws"),
        ),
    )  # fmt: skip
    store.put(keys.presence(group, host), host)
    store.put(
        keys.enrolled_host(host),
        EnrolledHost(
            host=host, groups=(group,), roles=(Role.MEMBER,), certificate_serial="0", enrolled_at=datetime.now(UTC)
        ),
    )


def test_a_name_and_a_range_are_taken_once(store) -> None:
    blue = networks.create(store, name="blue", cidr="10.77.0.0/24", description="the first")
    assert networks.find(store, "blue") == networks.find(store, blue.id) == blue
    with pytest.raises(Conflict, match="'blue' exists"):
        networks.create(store, name="blue")
    with pytest.raises(Conflict, match="'blue' exists") as error:
        networks.create(store, name="blue", cidr="10.78.0.0/24")
    assert error.value.hint
    with pytest.raises(Conflict, match=r"overlaps 10\.77\.0\.0/24 of CLADNet 'blue'") as error:
        networks.create(store, name="red", cidr="10.77.0.0/16")
    assert "is free" in error.value.hint
    with pytest.raises(InvalidInput):
        networks.create(store, name="Red Net")
    assert networks.list_all(store) == (blue,)


def test_a_range_that_a_hosts_own_network_has_is_refused_and_never_recommended(store) -> None:
    blue = networks.create(store, name="blue")
    join(store, blue.id, "aws-1", "192.168.65.4/24")
    with pytest.raises(Conflict, match=r"192\.168\.65\.0/24, a network that host 'aws-1'"):
        networks.create(store, name="red", cidr="192.168.65.0/25")
    assert not networks.create(store, name="red").cidr.overlaps(IPv4Network("192.168.65.0/24"))


def test_of_many_creations_at_once_none_collides(etcd) -> None:
    made, refused = [], []

    def create(name: str) -> None:
        with etcd.store() as store:
            try:
                made.append(networks.create(store, name=name))
            except Conflict as error:
                refused.append(error)

    names = ["same"] * 3 + [f"own-{number}" for number in range(3)]
    threads = [threading.Thread(target=create, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE_S)
    assert len(made) + len(refused) == 6
    assert [each.name for each in made].count("same") <= 1
    ranges = [each.cidr for each in made]
    assert not any(one.overlaps(other) for i, one in enumerate(ranges) for other in ranges[:i])


def test_what_does_not_exist_is_named_with_what_does(store) -> None:
    with pytest.raises(NotFound) as error:
        networks.find(store, "blue")
    assert "larva net create" in error.value.hint
    networks.create(store, name="blue")
    for call in (
        lambda: networks.find(store, "red"),
        lambda: network_hosts.views(store, "red"),
        lambda: networks.delete(store, "red"),
        lambda: status_tests.request(store, "red"),
        lambda: status_tests.matrix(store, "red"),
    ):
        with pytest.raises(NotFound) as error:
            call()
        assert "blue" in error.value.hint
    with pytest.raises(NotFound, match="no host 'x'"):
        network_hosts.control(store, "blue", "x", Command.DOWN)
    for trials in (0, 101, -1):
        with pytest.raises(InvalidInput):
            status_tests.request(store, "blue", trials=trials)


def test_where_a_host_is_may_be_said_for_it_and_taken_back(store) -> None:
    """An override counts in the rule and in what is shown, and dies with the host, not with its name's next bearer."""
    group = networks.create(store, name="blue").id
    join(store, group, "a")
    controller, told = Controller(store), CloudFacts(provider="gcp", network_id="vpc-7", subnet_id="s-1")

    def seen() -> tuple[CloudFacts, CloudFacts]:
        controller.reconcile()
        rule = store.get(keys.rule(group, "a"), NetworkingRule)
        assert rule is not None
        return network_hosts.views(store, "blue")[0].cloud, rule.value.cloud

    own = seen()
    assert own == (CloudFacts(provider="aws"),) * 2
    network_hosts.override_cloud(store, "blue", "a", told)
    assert seen() == (told, told)
    network_hosts.override_cloud(store, "blue", "a", CloudFacts())
    assert seen() == own
    with pytest.raises(NotFound, match="no host 'b'"):
        network_hosts.override_cloud(store, "blue", "b", told)
    network_hosts.override_cloud(store, "blue", "a", told)
    store.delete(keys.host_information(group, "a"))
    controller.reconcile()
    join(store, group, "a")
    assert seen() == own


def test_a_host_is_shown_from_its_announcement_to_its_address(store) -> None:
    blue = networks.create(store, name="blue")
    join(store, blue.id, "a")
    (before,) = network_hosts.views(store, "blue")
    assert (before.host, before.address, before.state, before.present) == ("a", None, None, True)
    controller = Controller(store)
    controller.reconcile()
    (after,) = network_hosts.views(store, blue.id)
    assert (after.address, after.state) == (blue.cidr.network_address + 1, HostState.ACTIVE)
    network_hosts.control(store, "blue", "a", Command.DOWN)
    command = store.get(keys.command(blue.id, "a"), ControlCommand)
    assert command is not None
    assert command.value.command == Command.DOWN
    controller.reconcile()
    assert network_hosts.views(store, "blue")[0].state == HostState.DOWN


def test_a_missing_host_is_unreachable_after_the_grace(store) -> None:
    blue = networks.create(store, name="blue")
    join(store, blue.id, "a")
    now = [100.0]
    controller = Controller(store, grace_s=10, clock=lambda: now[0])
    controller.reconcile()
    store.delete(keys.presence(blue.id, "a"))
    assert controller.reconcile() == 10
    now[0] += 9
    assert controller.reconcile() == 1
    assert network_hosts.views(store, "blue")[0].state == HostState.ACTIVE
    now[0] += 1
    controller.reconcile()
    assert network_hosts.views(store, "blue")[0].state == HostState.UNREACHABLE


def test_a_deleted_cladnet_leaves_nothing_and_its_hosts_are_in_it_no_longer(store) -> None:
    blue, red = networks.create(store, name="blue"), networks.create(store, name="red")
    controller = Controller(store)
    for number in range(3):
        join(store, blue.id, f"a{number}")
    join(store, red.id, "b")
    controller.reconcile()
    status_tests.request(store, "blue")
    networks.delete(store, "blue")
    networks.delete(store, "blue")  # twice is once
    assert networks.find(store, "blue").state == CladnetState.DELETING
    with pytest.raises(TimedOut) as error:
        networks.wait_deleted(store, blue.id, wait_s=0.1)
    assert "controller" in error.value.hint
    with pytest.raises(Conflict):
        networks.create(store, name="blue")
    controller.reconcile()
    networks.wait_deleted(store, blue.id, wait_s=0.1)
    store.put(keys.status(blue.id, "a0"), "written late")
    Controller(store).reconcile()
    with store.watch(["cloud-adaptive-network/"], start_revision=1) as watch:  # all that ever was
        left: set[str] = set()
        newest = store.put("cloud-adaptive-network/end", 0)
        for event in watch:
            (left.add if event.value is not None else left.discard)(event.key)
            if event.revision == newest:
                break
    assert not [key for key in left if blue.id in key]
    assert [key for key in left if red.id in key]
    record = store.get(keys.enrolled_host("a0"), EnrolledHost)
    assert record is not None
    assert record.value.groups == ()


def test_the_matrix_waits_for_those_who_are_there(store) -> None:
    blue = networks.create(store, name="blue")
    for host in ("a", "b"):
        join(store, blue.id, host)
    Controller(store).reconcile()
    test = status_tests.request(store, "blue", trials=2)

    def row(host: str, test_id: str) -> None:
        status = HostStatus(
            host=host, test_id=test_id, measured_at=datetime.now(UTC), interface="cbnet0", datapath="x", latencies=()
        )
        store.put(keys.status(blue.id, host), status)

    row("a", test.id)
    row("b", "an older test")
    assert [each.host for each in status_tests.wait_matrix(store, "blue", test, wait_s=0.1)] == ["a"]
    answering = threading.Timer(0.3, row, ("b", test.id))
    answering.start()
    assert [each.host for each in status_tests.wait_matrix(store, "blue", test, wait_s=PATIENCE_S)] == ["a", "b"]
    answering.join()
    found = store.get(keys.test_specification(blue.id), TestSpecification)
    assert found is not None
    assert found.value == test


@pytest.fixture
def larva(etcd_factory, tmp_path, monkeypatch):
    """`larva net …` on an enrolled host."""
    cluster = etcd_factory(tls=True)
    state = tmp_path / "state"
    (state / "tls").mkdir(parents=True)
    tls = cluster.tls
    for source, name in ((tls.ca, "ca.pem"), (tls.certificate, "client.pem"), (tls.key, "client.key")):
        (state / "tls" / name).write_bytes(source.read_bytes())
    (state / "ca").symlink_to(cluster.authority_directory)  # a control node has the CA's key
    monkeypatch.setenv("LARVA_STATE", str(state))

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli.net, words)

    assert isinstance(run("list").exception, NotFound)  # not enrolled yet
    Member(
        host="me", groups=(), roles=(Role.CONTROL,), server="https://127.0.0.1:8443",
        etcd_endpoints=tuple(cluster.endpoints),
    ).save()  # fmt: skip
    return run


def test_the_command_line_from_creation_to_deletion(larva) -> None:
    assert "no CLADNet yet" in larva("list").output
    made = json.loads(larva("create", "10.77.0.0/24", "--name", "blue", "--rule", "basic", "--json").output)
    assert (made["cidr"], made["rule_type"]) == ("10.77.0.0/24", "basic")
    assert [each["name"] for each in json.loads(larva("list", "--json").output)] == ["blue"]
    assert "10.77.0.0/24" in larva("list").output
    assert "basic" in larva("show", "blue").output
    assert "no host has joined yet" in larva("hosts", "blue").output
    assert "no host answered" in larva("status", "blue", "--wait", "0").output
    assert isinstance(larva("show", "red").exception, NotFound)
    assert isinstance(larva("create", "10.77.0.5/24", "--name", "red").exception, InvalidInput)
    assert isinstance(larva("join", "blue", "nobody").exception, NotFound)
    assert larva("create", "--name", "red", "--rule", "cheapest").exit_code == 2
    assert "Aborted" in larva("delete", "blue").output  # nobody said yes
    assert larva("delete", "blue", "--yes", "--wait", "0").exit_code == 0
    assert json.loads(larva("show", "blue", "--json").output)["state"] == "deleting"


def test_a_reconciler_looks_again_after_every_change_and_failure(etcd) -> None:
    seen: list[int] = []
    failures = iter([Unavailable("not now"), ValueError("a defect")])
    stop = threading.Event()
    with etcd.store() as store:
        store.put("r/x", 0)

        def reconcile() -> None:
            error = next(failures, None)
            if error is not None:
                raise error
            found = store.get("r/x", int)
            seen.append(found.value if found else -1)

        loop = Reconciler(store, ["r/"], reconcile, name="test", resync_s=3600)
        thread = threading.Thread(target=loop.run, args=(stop,))
        thread.start()
        try:
            for value in (1, 2):
                _until(lambda: seen)
                store.put("r/x", value)
                _until(lambda value=value: seen[-1] == value)
            etcd.kill()
            etcd.start()
            store.put("r/x", 3)
            _until(lambda: seen[-1] == 3)
            count = len(seen)
            loop.poke()
            _until(lambda: len(seen) > count)
        finally:
            stop.set()
            thread.join(timeout=PATIENCE_S)
        assert not thread.is_alive()


def test_a_reconciler_comes_back_when_it_asked_to(etcd) -> None:
    stop, times = threading.Event(), []

    def reconcile() -> float | None:
        times.append(time.monotonic())
        if len(times) == 3:
            stop.set()
        return 0.05

    with etcd.store() as store:
        Reconciler(store, [], reconcile, name="test", resync_s=3600).run(stop)
    assert len(times) == 3


def _until(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
