"""The bench of the console at its smallest: every page hears what it measures by, and the peer does, too."""

import pytest

from cladnet.bench import site
from web.bench import console

PAGES, HOSTS = 5, 3


@pytest.mark.root
def test_every_page_and_the_peer_hear_of_changes_while_hosts_change() -> None:
    with site.running() as place, place.store() as store:
        agents = console._hosts(place, store, HOSTS)
        before = [agent.facts.information.public_address for agent in agents]
        with console._served(place, store) as served:
            found = console._measure(served, store, agents, pages=PAGES, phase_s=2.0)
        assert all(agent.facts.information.public_address != at for agent, at in zip(agents, before, strict=True))
    assert found.missed == 0
    for told in found.told:
        assert len(told.pages_s) == PAGES * len(told.watch_s) > 0
        assert min(told.pages_s) > 0
    assert all(rate.answered > 0 and rate.read > 0 for rate in found.rates)
    assert found.open_mb > found.empty_mb > 0
