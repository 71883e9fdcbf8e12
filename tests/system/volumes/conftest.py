"""A CLADNet of three storage hosts, and a cluster wanted on it."""

from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

import pytest
from storage_wishes import CSPS, GROUP, join

import cladnet.keys
from cbstorage.model import ClusterSpecification
from cbstorage.wanted import cluster
from cladnet.etcd.store import Store
from cladnet.model import CladnetSpecification


@pytest.fixture
def store(etcd: Any) -> Store:
    return etcd.store()


@pytest.fixture
def network(store: Store) -> dict[str, str]:
    """A CLADNet with a storage host at each of three providers; their private seal keys."""
    specification = CladnetSpecification(
        id=GROUP, name="demo", cidr=IPv4Network("192.168.10.0/26"), created_at=datetime.now(UTC)
    )
    store.put(cladnet.keys.configuration(GROUP), specification)
    return {f"{csp}-1": join(store, f"{csp}-1", number + 2) for number, csp in enumerate(CSPS)}


@pytest.fixture
def made(store: Store, network: dict[str, str]) -> ClusterSpecification:
    return cluster.create(store, "demo")
