"""Released addresses, against a real etcd: kept from others, given back, free in time, gone with their CLADNet."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Interface

import pytest

from cladnet import keys, network_hosts, networks
from cladnet.control.controller import Controller
from cladnet.enrol.membership import join_group, leave_group, remove_host
from cladnet.etcd.store import Store
from cladnet.model import EnrolledHost, HostNetworkInformation, NetworkInterface, ReleasedAddress, Role
from larva.errors import InvalidInput

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(etcd) -> Iterator[Store]:
    """A connection to a new etcd."""
    with etcd.store() as opened:
        yield opened


def enrol(store: Store, host: str, group: str) -> None:
    """What enrolment writes."""
    record = EnrolledHost(
        host=host, groups=(group,), roles=(Role.MEMBER,), certificate_serial=f"00{host}", enrolled_at=NOON
    )
    store.put(keys.enrolled_host(host), record)


def announce(store: Store, group: str, host: str, key: str = "") -> None:
    """What a host's agent writes."""
    information = HostNetworkInformation(
        host=host, public_address=IPv4Address("203.0.113.4"),
        interfaces=(NetworkInterface(name="eth0", mtu=1500, addresses=(IPv4Interface("172.20.0.4/24"),)),),
        listen_port=51820, public_key=base64.b64encode((key or host).encode().ljust(32)).decode(), seal_key="",
    )  # fmt: skip
    store.put(keys.host_information(group, host), information)
    store.put(keys.presence(group, host), host)


def addresses(store: Store, group: str) -> dict[str, str]:
    """Host → address, after a controller has looked until nothing changes."""
    return {view.host: str(view.address) for view in network_hosts.views(store, group)}


def test_an_address_rests_after_leaving_and_removal_and_comes_back_to_its_host(store) -> None:
    blue = networks.create(store, name="blue", cidr="10.77.0.0/24")
    now = [NOON]
    controller = Controller(store, today=lambda: now[0])
    for host in ("a", "b"):
        enrol(store, host, blue.id)
        announce(store, blue.id, host)
    controller.reconcile()
    assert addresses(store, blue.id) == {"a": "10.77.0.1", "b": "10.77.0.2"}

    leave_group(store, host="a", group=blue.id)
    remove_host(store, "b")
    controller.reconcile()
    assert not store.revisions(keys.addresses_of(blue.id))  # claims are freed in the transaction that makes them rest
    resting = store.list(keys.released_of(blue.id), ReleasedAddress).items
    assert [each.value for each in resting] == [ReleasedAddress(host=host, released_at=NOON) for host in ("a", "b")]

    now[0] += timedelta(minutes=59)
    enrol(store, "c", blue.id)
    announce(store, blue.id, "c")
    controller.reconcile()
    assert addresses(store, blue.id) == {"c": "10.77.0.3"}

    join_group(store, host="a", group=blue.id)
    announce(store, blue.id, "a")
    enrol(store, "b", blue.id)
    announce(store, blue.id, "b", key="installed anew")
    controller.reconcile()
    assert addresses(store, blue.id) == {"a": "10.77.0.1", "b": "10.77.0.2", "c": "10.77.0.3"}
    assert not store.revisions(keys.released_of(blue.id))


def test_an_address_is_anybodys_when_its_time_is_over_or_nothing_else_is_left(store, caplog) -> None:
    blue = networks.create(store, name="blue", cidr="10.77.0.0/29")
    now = [NOON]
    controller = Controller(store, today=lambda: now[0])
    for number in range(1, 7):
        enrol(store, f"h{number}", blue.id)
        announce(store, blue.id, f"h{number}")
    controller.reconcile()
    for number in (4, 2):
        leave_group(store, host=f"h{number}", group=blue.id)
        controller.reconcile()
        now[0] += timedelta(minutes=10)
    announce(store, blue.id, "late")
    controller.reconcile()
    assert addresses(store, blue.id)["late"] == "10.77.0.4"  # it had rested longest
    assert "late gets 10.77.0.4, which h4 had until 2026-01-01T12:00:00" in caplog.text
    leave_group(store, host="h6", group=blue.id)
    controller.reconcile()
    now[0] += timedelta(minutes=51)
    controller.reconcile()
    assert set(store.revisions(keys.released_of(blue.id))) == {keys.released(blue.id, "10.77.0.6")}
    announce(store, blue.id, "later")
    controller.reconcile()
    assert addresses(store, blue.id)["later"] == "10.77.0.2"


def test_the_time_is_the_cladnets_own_and_holds_for_what_rests_already(store) -> None:
    blue = networks.create(store, name="blue", cidr="10.77.0.0/24", quarantine_s=86400)
    controller = Controller(store, today=lambda: NOON)
    enrol(store, "a", blue.id)
    announce(store, blue.id, "a")
    controller.reconcile()
    leave_group(store, host="a", group=blue.id)
    controller.reconcile()
    assert store.revisions(keys.released_of(blue.id))
    assert networks.update(store, "blue", quarantine_s=0).address_quarantine_s == 0
    controller.reconcile()
    assert not store.revisions(keys.released_of(blue.id))
    for impossible in (-1, 31 * 86400, float("nan")):
        with pytest.raises(InvalidInput, match="cannot rest"):
            networks.update(store, "blue", quarantine_s=impossible)


def test_what_rests_goes_with_its_cladnet_and_what_cannot_be_read_is_dropped(store) -> None:
    blue, red = (networks.create(store, name=name) for name in ("blue", "red"))
    controller = Controller(store, today=lambda: NOON)
    for group in (blue.id, red.id):
        enrol(store, "a", group)
        announce(store, group, "a")
        controller.reconcile()
        leave_group(store, host="a", group=group)
        controller.reconcile()
        assert store.revisions(keys.released_of(group))
    store.put(keys.released(red.id, "192.168.99.99"), {"host": 7})
    networks.delete(store, "blue")
    controller.reconcile()
    assert not store.revisions(keys.released_of(blue.id))
    assert list(store.revisions(keys.released_of(red.id))) == [keys.released(red.id, red.cidr.network_address + 1)]
