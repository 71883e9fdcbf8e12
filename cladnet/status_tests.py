"""Status tests: asked of every agent of a CLADNet, and their rows, the latency matrix, as they come."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

from cladnet import keys, network_hosts, networks, status_pace
from cladnet.arrival import arriving as rows_arriving
from cladnet.etcd.store import Store
from cladnet.model import HostState, HostStatus, TestSpecification
from larva.errors import InvalidInput


def request(store: Store, group: str, *, trials: int = 3) -> TestSpecification:
    """Ask every agent of a CLADNet to measure the latency to every peer once.

    Args:
        trials: echo requests per peer, 1 to 100.
    """
    if not 1 <= trials <= status_pace.MOST_TRIALS:
        raise InvalidInput(f"{trials} trials are not possible", hint=f"choose 1 to {status_pace.MOST_TRIALS}")
    specification = networks.find(store, group)
    test = TestSpecification(id=secrets.token_hex(8), trials=trials, asked_at=datetime.now(UTC))
    store.put(keys.test_specification(specification.id), test)
    return test


def matrix(store: Store, group: str, test_id: str | None = None) -> tuple[HostStatus, ...]:
    """The rows of the latency matrix, by host; only those of one test if it is given."""
    rows = store.children(keys.statuses_of(networks.find(store, group).id), HostStatus)
    return tuple(rows[host].value for host in sorted(rows) if test_id in (None, rows[host].value.test_id))


def arriving(store: Store, group: str, test: TestSpecification, *, wait_s: float) -> Iterator[HostStatus]:
    """Yield each host's row of a test as it comes; end when every present, active host has answered.

    Args:
        wait_s: seconds after which it ends with what has come.
    """
    specification = networks.find(store, group)

    def expected() -> set[str]:
        return {
            view.host for view in network_hosts.views(store, group) if view.present and view.state == HostState.ACTIVE
        }

    yield from rows_arriving(store, specification.id, test, expected=expected, wait_s=wait_s)


def wait_matrix(store: Store, group: str, test: TestSpecification, *, wait_s: float) -> tuple[HostStatus, ...]:
    """Return the matrix when every present, active host has answered, or what there is after `wait_s` seconds."""
    return tuple(sorted(arriving(store, group, test, wait_s=wait_s), key=lambda row: row.host))


def longest_s(store: Store, group: str, test: TestSpecification) -> float:
    """Return the seconds after which every row of a test should be there, however many peers do not answer."""
    return status_pace.longest_s(len(store.revisions(keys.rules_of(group))), test.trials)
