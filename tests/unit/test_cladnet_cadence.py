"""However many peers there are and whatever they do, a host's echoes stay few and no peer is forgotten."""

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from cladnet.agent.cadence import FASTEST_S, GAP_S, SPREAD, Cadence, period_s

ANSWER_S = 2.0


def played(
    peers: int, seconds: float, *, seed: int, silent: int = 0, suspicious: bool = False
) -> dict[int, list[float]]:
    """The moments at which each peer was sent an echo."""
    chance = random.Random(seed)
    cadence: Cadence[int] = Cadence(chance.uniform)
    sent: dict[int, list[float]] = {peer: [] for peer in range(peers)}
    answers: list[tuple[float, int]] = []
    now = 0.0
    cadence.follow(range(peers), now)
    while now < seconds:
        for at, peer in [each for each in answers if each[0] <= now]:
            answers.remove((at, peer))
            cadence.done(peer, at, soon=suspicious and peer < silent)
        peer = cadence.take(now)
        if peer is not None:
            sent[peer].append(now)
            answers.append((now + (ANSWER_S if peer < silent else 0.1), peer))
        following = cadence.next_at()
        now = min([at for at, _ in answers] + ([max(following, now + 1e-6)] if following is not None else []))
    return sent


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10_000), st.integers(0, 40), st.booleans())
def test_the_budget_holds_and_nobody_starves(peers: int, seed: int, silent: int, suspicious: bool) -> None:
    sent = played(peers, 20 * period_s(peers), seed=seed, silent=min(silent, peers), suspicious=suspicious)
    moments = sorted(at for each in sent.values() for at in each)
    assert all(later - earlier >= GAP_S - 1e-6 for earlier, later in pairwise(moments))
    longest = (1 + SPREAD) * period_s(peers) + ANSWER_S + 2 * peers * GAP_S
    for each in sent.values():
        assert each, "everybody is asked"
        assert all(later - earlier <= longest for earlier, later in pairwise(each))
        assert all(later - earlier >= (1 - SPREAD) * FASTEST_S for earlier, later in pairwise(each))


def test_a_thousand_peers_are_each_asked_within_some_minutes() -> None:
    sent = played(1000, 1300, seed=1)
    assert min(len(each) for each in sent.values()) >= 2
    assert period_s(1000) < 10 * 60


def test_no_order_is_kept() -> None:
    order = [peer for _, peer in sorted((at, peer) for peer, each in played(20, 300, seed=3).items() for at in each)]
    assert order[:20] != order[20:40]


def test_who_is_not_followed_any_more_gets_no_turn_and_its_answer_harms_nothing() -> None:
    cadence: Cadence[str] = Cadence(random.Random(1).uniform)
    cadence.follow(["a"], 0)
    assert cadence.take(FASTEST_S) == "a"
    assert cadence.next_at() is None
    cadence.follow([], FASTEST_S)
    cadence.done("a", FASTEST_S)
    assert cadence.take(100) is None
