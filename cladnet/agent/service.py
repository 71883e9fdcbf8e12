"""The agent with what surrounds it in its process: metrics, and the keeper of its certificate."""

import threading

from cladnet.agent.agent import Agent
from cladnet.agent.keyring import KeyRing
from cladnet.agent.launch import Terms
from cladnet.agent.metrics import families
from cladnet.agent.renewal import CertificateKeeper
from cladnet.following import FollowingStore
from cladnet.member import Identity, Member
from larva import log, metrics, metrics_server, settings, stopping


def run(terms: Terms) -> None:
    """Keep this host attached to its CLADNets until a signal comes.

    Raises:
        NotFound: it is not enrolled.
        InvalidInput: metrics cannot be served there.
    """
    log.set_up(debug=settings.debug())
    with FollowingStore.of_this_host() as store:
        member, identity = Member.load(), Identity.load()
        ring = KeyRing(settle_s=terms.settle_s, every_s=terms.rotate_s)
        running = Agent(store, member, identity, ring=ring)
        metrics.REGISTRY.collect_from(lambda: families(running.observed()))
        stop = stopping.on_signal()
        keeper = threading.Thread(
            target=CertificateKeeper(store.reopen_if_renewed).run, args=(stop,), name="certificate", daemon=True
        )
        keeper.start()
        with metrics_server.served(terms.metrics_at):
            running.run(stop)
