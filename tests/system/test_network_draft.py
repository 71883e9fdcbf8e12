"""A draft of a CLADNet is what would be created, and creates nothing."""

from dataclasses import replace

import pytest

from cladnet import cidr, networks
from cladnet.etcd.store import Store
from cladnet.free_ranges import Reason
from larva.errors import Conflict, InvalidInput


def test_what_is_created_is_as_it_was_drafted(console_store: Store) -> None:
    drafted = networks.draft(console_store, name="shop", ipv6="auto", description="words")
    assert networks.list_all(console_store) == ()
    made = networks.create(
        console_store, name="shop", cidr=str(drafted.cidr), ipv6=str(drafted.cidr6), description="words"
    )
    assert replace(made, id=drafted.id, created_at=drafted.created_at, version=drafted.version) == drafted


@pytest.mark.parametrize(
    ("name", "wanted", "error"),
    [("shop", "10.90.0.0/24", Conflict), ("more", "10.77.0.0/25", Conflict), ("No", "10.90.0.0/24", InvalidInput)],
)
def test_what_cannot_be_created_cannot_be_drafted(
    console_store: Store, name: str, wanted: str, error: type[Exception]
) -> None:  # fmt: skip
    networks.create(console_store, name="shop", cidr="10.77.0.0/24")
    for make in (networks.draft, networks.create):
        with pytest.raises(error):
            make(console_store, name=name, cidr=wanted)


def test_what_a_range_overlaps_is_told_with_whose_it_is(console_store: Store) -> None:
    networks.create(console_store, name="shop", cidr="10.77.0.0/24")
    found = networks.overlapped(console_store, cidr.parse("10.76.0.0/15"))
    assert [(str(each.network), each.reason) for each in found] == [("10.77.0.0/24", Reason.CLADNET)]
    assert "shop" in found[0].detail
    assert networks.overlapped(console_store, cidr.parse("192.168.77.0/24")) == ()
