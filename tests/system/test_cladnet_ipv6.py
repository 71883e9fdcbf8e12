"""IPv6 overlay addresses, from the wish to each host's rule, against a real etcd."""

import base64
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv6Network

import pytest

from cladnet import keys, network_hosts, networks, ula
from cladnet.control.controller import Controller
from cladnet.etcd.store import Store
from cladnet.model import HostNetworkInformation, NetworkInterface
from larva.errors import Conflict, InvalidInput

PREFIX = IPv6Network("fd12:3456:789a::/64")


@pytest.fixture
def store(etcd) -> Iterator[Store]:
    """A connection to a new etcd."""
    with etcd.store() as opened:
        yield opened


def announce(store: Store, group: str, host: str, *, has_ipv6: bool = True, own: tuple[str, ...] = ()) -> None:
    """What a host's agent writes."""
    information = HostNetworkInformation(
        host=host, public_address=IPv4Address("203.0.113.4"),
        interfaces=(NetworkInterface(name="eth0", mtu=1500, addresses=(IPv4Interface("172.20.0.4/24"),)),),
        listen_port=51820, public_key=base64.b64encode(host.encode().ljust(32)).decode(), seal_key="",
        has_ipv6=has_ipv6, networks6=tuple(IPv6Network(each) for each in own),
    )  # fmt: skip
    store.put(keys.host_information(group, host), information)
    store.put(keys.presence(group, host), host)


def test_it_is_turned_on_and_off_while_hosts_are_there(store) -> None:
    blue = networks.create(store, name="blue", cidr="10.77.0.0/24")
    controller = Controller(store)
    announce(store, blue.id, "a")
    announce(store, blue.id, "b", has_ipv6=False)
    announce(store, blue.id, "c", own=(str(PREFIX),))
    controller.reconcile()
    before = network_hosts.views(store, "blue")
    assert [(view.address6, view.ipv6_problem) for view in before] == [(None, "")] * 3

    assert networks.update(store, "blue", ipv6="auto").cidr6 == networks.find(store, "blue").cidr6
    drawn = networks.find(store, "blue").cidr6
    assert drawn is not None
    assert networks.update(store, "blue", ipv6="auto").cidr6 == drawn  # on already: nobody is given another
    controller.reconcile()
    a, b, c = network_hosts.views(store, "blue")
    assert a.address is not None
    assert a.address6 == ula.address6(drawn, a.address)
    assert (b.address6, "its kernel has none" in b.ipv6_problem, b.problem) == (None, True, "")
    assert c.address6 is not None

    with pytest.raises(InvalidInput, match=f"the IPv6 prefix is {drawn}") as error:
        networks.update(store, "blue", ipv6=str(PREFIX))
    assert "--ipv6 off" in error.value.hint
    assert networks.update(store, "blue", ipv6="off").cidr6 is None
    controller.reconcile()
    assert network_hosts.views(store, "blue") == before


def test_a_host_that_moves_into_the_prefix_loses_the_second_address_and_keeps_the_first(store) -> None:
    blue = networks.create(store, name="blue", ipv6=str(PREFIX))
    controller = Controller(store)
    announce(store, blue.id, "a", own=("2001:db8::/64",))
    controller.reconcile()
    assert network_hosts.views(store, "blue")[0].address6 is not None
    announce(store, blue.id, "a", own=("2001:db8::/64", "fd12:3456:789a::/48"))
    controller.reconcile()
    (view,) = network_hosts.views(store, "blue")
    assert view.address is not None
    assert (view.address6, view.problem) == (None, "")
    assert "fd12:3456:789a::/48 overlaps" in view.ipv6_problem


def test_a_prefix_in_use_is_refused_with_whose_it_is(store) -> None:
    blue = networks.create(store, name="blue", ipv6=str(PREFIX))
    assert blue.cidr6 == PREFIX
    announce(store, blue.id, "a", own=("fd99::/64",))
    with pytest.raises(Conflict, match="CLADNet 'blue'"):
        networks.create(store, name="red", ipv6=str(PREFIX))
    red = networks.create(store, name="red")
    assert red.cidr6 is None
    with pytest.raises(Conflict, match="CLADNet 'blue'"):
        networks.update(store, "red", ipv6=str(PREFIX))
    with pytest.raises(Conflict, match="host 'a'"):
        networks.update(store, "red", ipv6="fd99::/64")
    with pytest.raises(InvalidInput, match="not private"):
        networks.update(store, "red", ipv6="2001:db8::/64")
    assert networks.find(store, "red") == red
