"""CLADNets through the API: for each function that a command calls, the route that does it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from cladnet import network_hosts, networks, paths, status_pace, status_tests
from cladnet.free_ranges import Recommendation
from cladnet.model import (
    ADDRESS_QUARANTINE_S,
    CladnetSpecification,
    Command,
    DatapathKind,
    Encryption,
    HostState,
    HostStatus,
    RuleType,
    TestSpecification,
)
from cladnet.network_hosts import HostView
from cladnet.paths import Alarms, PathView
from cladnet.placement import advice
from cladnet.placement.model import Recommendation as Placement
from cladnet.placement.model import Survive
from cladnet.quality import Window
from cladnet.reach.api import Api, place
from cladnet.reach.system import Table
from larva.errors import NotFound, TimedOut

POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """What is used of the answer of `GET …/status`."""

    rows: tuple[HostStatus, ...]


def list_all(api: Api) -> tuple[CladnetSpecification, ...]:
    """As networks.list_all."""
    return api.items(place("cladnets"), "cladnets", CladnetSpecification)


def find(api: Api, id_or_name: str) -> CladnetSpecification:
    """As networks.find."""
    return api.get(place("cladnets", id_or_name), CladnetSpecification)


def create(
    api: Api,
    *,
    name: str,
    cidr: str | None = None,
    ipv6: str | None = None,
    description: str = "",
    rule_type: RuleType = RuleType.COST_PRIORITIZED,
    datapath: DatapathKind = DatapathKind.AUTO,
    encryption: Encryption = Encryption.ON,
    quarantine_s: float = ADDRESS_QUARANTINE_S,
) -> CladnetSpecification:
    """As networks.create."""
    return api.post(
        place("cladnets"), CladnetSpecification, name=name, cidr=cidr, ipv6=ipv6, description=description,
        rule_type=rule_type, datapath=datapath, encryption=encryption, address_quarantine_s=quarantine_s,
    )  # fmt: skip


def update(
    api: Api,
    id_or_name: str,
    *,
    name: str | None = None,
    description: str | None = None,
    rule_type: RuleType | None = None,
    cidr: str | None = None,
    ipv6: str | None = None,
    datapath: DatapathKind | None = None,
    encryption: Encryption | None = None,
    quarantine_s: float | None = None,
) -> CladnetSpecification:
    """As networks.update."""
    return api.patch(
        place("cladnets", id_or_name), CladnetSpecification, name=name, description=description, rule_type=rule_type,
        cidr=cidr, ipv6=ipv6, datapath=datapath, encryption=encryption, address_quarantine_s=quarantine_s,
    )  # fmt: skip


def delete(api: Api, id_or_name: str) -> None:
    """As networks.delete."""
    api.delete(place("cladnets", id_or_name))


def wait_deleted(api: Api, group: str, *, wait_s: float) -> None:
    """As networks.wait_deleted."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            find(api, group)
        except NotFound:
            return
        if time.monotonic() > deadline:
            raise TimedOut(
                f"CLADNet {group} was not emptied within {wait_s:g} s",
                hint="check on a control node that a controller runs: systemctl status larva-controller",
            )
        time.sleep(POLL_S)


def recommend(api: Api, *, hosts: int | None = None) -> Recommendation:
    """As networks.recommend."""
    return api.get(place("recommended-range"), Recommendation, hosts=hosts)


def views(api: Api, group: str) -> tuple[HostView, ...]:
    """As network_hosts.views."""
    return api.items(place("cladnets", group, "hosts"), "hosts", HostView)


def control(api: Api, group: str, host: str, command: Command) -> None:
    """As network_hosts.control, of one host."""
    api.post(place("cladnets", group, "hosts", host, command), HostView)


def request(api: Api, group: str, *, trials: int = 3) -> TestSpecification:
    """As status_tests.request."""
    return api.post(place("cladnets", group, "status-tests"), TestSpecification, trials=trials)


def longest_s(api: Api, group: str, test: TestSpecification) -> float:
    """As status_tests.longest_s."""
    return status_pace.longest_s(sum(view.address is not None for view in views(api, group)), test.trials)


def arriving(api: Api, group: str, test: TestSpecification, *, wait_s: float) -> Iterator[HostStatus]:
    """As status_tests.arriving."""
    deadline = time.monotonic() + wait_s
    told: set[str] = set()
    while True:
        expected = {view.host for view in views(api, group) if view.present and view.state == HostState.ACTIVE}
        for row in api.get(place("cladnets", group, "status"), Matrix).rows:
            if row.test_id == test.id and row.host not in told:
                told.add(row.host)
                yield row
        if expected <= told or time.monotonic() > deadline:
            return
        time.sleep(POLL_S)


def quality(api: Api, group: str, window: Window) -> tuple[PathView, ...]:
    """As paths.views."""
    return api.items(place("cladnets", group, "quality"), "paths", PathView, window=window)


def alarms(api: Api, group: str) -> Alarms:
    """As paths.alarms."""
    return api.get(place("cladnets", group, "alarms"), Alarms)


def recommend_hosts(api: Api, cladnet: str, *, nodes: int, survive: Survive) -> Placement:
    """As advice.of_cladnet."""
    return api.get(place("cladnets", cladnet, "placement"), Placement, nodes=nodes, survive=survive)


TABLE: Table = {
    networks.list_all: list_all,
    networks.find: find,
    networks.create: create,
    networks.update: update,
    networks.delete: delete,
    networks.wait_deleted: wait_deleted,
    networks.recommend: recommend,
    network_hosts.views: views,
    network_hosts.control: control,
    status_tests.request: request,
    status_tests.longest_s: longest_s,
    status_tests.arriving: arriving,
    paths.views: quality,
    paths.alarms: alarms,
    advice.of_cladnet: recommend_hosts,
}
