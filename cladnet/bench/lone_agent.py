"""`larva agent` as it is, but for a data path that carries nothing: `python -m cladnet.bench.lone_agent`.

Its memory and processor time, read from /proc, are what an agent costs its host.
"""

import signal
import sys
import threading
from unittest import mock

from cladnet.agent import network
from cladnet.agent.agent import Agent
from cladnet.bench.fleet import Board, Driver
from cladnet.etcd.store import Store
from cladnet.member import Identity, Member
from cladnet.model import Role


def main() -> None:
    """Run the agent of the host and CLADNet named, with the certificate of the state directory."""
    host, group, endpoint = sys.argv[1:]
    Member(
        host=host, groups=(group,), roles=(Role.MEMBER,), server="https://127.0.0.1:1", etcd_endpoints=(endpoint,)
    ).save()
    driver = Driver(host, Board())
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    with (
        mock.patch.object(network, "take", return_value=driver),
        mock.patch.object(network, "clear"),  # no interface of this machine is its own
        Store.of_this_host() as store,
    ):
        Agent(store, Member.load(), Identity.load()).run(stop)


if __name__ == "__main__":
    main()
