"""The replacement of a WireGuard key: when the next one is used, what a killed agent comes up with, what peers do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet import seal
from cladnet.agent import peering
from cladnet.agent.keyring import PATIENCE_S, KeyRing, Pair, said
from cladnet.datapath.protocol import Peer, PeerStatus
from cladnet.model import CloudFacts, NetworkingRule
from larva import files
from larva.errors import Conflict

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def rule(host: str, public_key: str, following: str = "", number: int = 1) -> NetworkingRule:
    return NetworkingRule(
        host=host, address=IPv4Address(f"10.77.0.{number}"), public_key=public_key, endpoints=(), cloud=CloudFacts(),
        next_public_key=following,
    )  # fmt: skip


class Host:
    """A key ring on disk and a clock that is moved by hand."""

    def __init__(self, directory: Path, **options: float) -> None:
        directory.mkdir(exist_ok=True)
        self.directory, self.now, self.options = directory, 0.0, options
        files.write_once(directory / "wireguard.key", seal.new_pair()[0] + "\n", mode=files.SECRET)
        self.restart()

    def restart(self) -> None:
        self.ring = KeyRing(self.directory, settle_s=10, clock=lambda: self.now, **self.options)

    def rule(self, *, switched: bool = False) -> NetworkingRule:
        current, following = self.ring.keys()
        assert following is not None
        return rule("me", following.public) if switched else rule("me", current.public, following.public)


def test_a_next_key_is_used_when_all_networks_have_shown_it_long_enough(tmp_path: Path) -> None:
    host = Host(tmp_path / "identity")
    host.ring.expect("red")
    host.ring.expect("blue")
    assert host.ring.remaining_s() is None
    public = host.ring.begin()
    assert (tmp_path / "identity/wireguard.next").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict):
        host.ring.begin()
    host.ring.note("red", host.rule(), absent=False)
    assert host.ring.remaining_s() is None, "blue has not shown it"
    host.now = 4
    host.ring.note("blue", host.rule(), absent=False)
    assert host.ring.remaining_s() == 10
    host.now = 13.5
    assert host.ring.remaining_s() == 0.5
    host.ring.note("blue", replace(host.rule(), next_public_key=""), absent=False)
    assert host.ring.remaining_s() is None, "it was taken back"
    host.ring.note("blue", host.rule(), absent=False)
    host.now = 30
    assert host.ring.remaining_s() == 0
    host.ring.note("red", host.rule(switched=True), absent=False)
    assert host.ring.keys()[1] is not None, "blue's peers know the old one only"
    host.ring.note("blue", host.rule(switched=True), absent=False)
    assert host.ring.keys() == (Pair.read(tmp_path / "identity/wireguard.key"), None)
    assert host.ring.keys()[0].public == public


def test_who_is_absent_is_waited_for_and_not_for_ever(tmp_path: Path) -> None:
    host = Host(tmp_path / "identity")
    host.ring.begin()
    host.ring.note("red", host.rule(), absent=True)
    host.now = PATIENCE_S - 1
    host.ring.note("red", host.rule(), absent=True)
    assert host.ring.remaining_s() is None
    host.now = PATIENCE_S + 1
    host.ring.note("red", host.rule(), absent=True)
    assert host.ring.remaining_s() == 10
    host.now += 6
    host.ring.note("red", host.rule(), absent=True)
    assert host.ring.remaining_s() == 4, "who is gone now has heard of it"


def test_a_network_without_a_rule_of_this_host_holds_no_other_up(tmp_path: Path) -> None:
    host = Host(tmp_path / "identity")
    public = host.ring.begin()
    for group in ("red", "blue"):
        host.ring.expect(group)
    host.ring.note("red", host.rule(), absent=False)
    host.ring.note("blue", None, absent=False, certain=False)
    assert host.ring.remaining_s() is None, "nobody said that blue has none"
    host.ring.note("blue", None, absent=False)
    assert host.ring.remaining_s() == 10
    host.ring.note("blue", host.rule(), absent=True)
    assert host.ring.remaining_s() is None, "it has one now"
    host.ring.note("blue", None, absent=False)
    host.ring.note("red", host.rule(switched=True), absent=False)
    assert host.ring.keys()[0].public == public
    assert host.ring.begin() != public
    host.ring.note("blue", host.rule(), absent=False)
    assert host.ring.keys()[0].public == public, "what was said of the key before counts for that one only"


def test_who_leaves_the_last_network_that_goes_by_the_old_key_is_done(tmp_path: Path) -> None:
    host = Host(tmp_path / "identity")
    public = host.ring.begin()
    for group in ("red", "blue"):
        host.ring.note(group, host.rule(), absent=False)
    host.ring.note("red", host.rule(switched=True), absent=False)
    assert host.ring.is_replacing
    host.ring.forget("blue")
    assert (host.ring.is_replacing, host.ring.keys()[0].public) == (False, public)


def test_every_network_is_told_when_the_last_one_shows_the_next_key(tmp_path: Path) -> None:
    host = Host(tmp_path / "identity")
    for group in ("red", "blue"):
        host.ring.expect(group)
    assert not host.ring.has_news()
    host.ring.begin()
    assert [host.ring.has_news(), host.ring.has_news()] == [True, False]
    host.ring.note("red", host.rule(), absent=False)
    assert not host.ring.has_news()
    host.ring.note("blue", host.rule(), absent=False)
    assert [host.ring.has_news(), host.ring.has_news()] == [True, False], "red could not know"
    for group in ("red", "blue"):
        host.ring.note(group, host.rule(switched=True), absent=False)
    assert [host.ring.has_news(), host.ring.has_news()] == [True, False], "it is in place"


@given(steps=st.lists(st.sampled_from(["show", "wait", "switch", "restart", "back"]), max_size=12))
def test_whoever_is_killed_comes_up_with_a_key_that_its_own_rule_has(tmp_path_factory, steps: list[str]) -> None:
    host = Host(tmp_path_factory.mktemp("host") / "identity")
    host.ring.begin()
    current, following = host.ring.keys()
    assert following is not None
    own = rule("me", current.public)
    for step in steps:
        if step == "wait":
            host.now += 6
        elif step == "restart":
            host.restart()
        elif step == "back":
            own = rule("me", own.public_key)
        elif step == "show" and own.public_key == current.public:
            own = rule("me", current.public, following.public)
        elif step == "switch":
            own = rule("me", following.public)
        host.ring.note("red", own, absent=False)
        private = host.ring.private(own, ahead=False)
        assert seal.public_of(private) == own.public_key
        if own.public_key == following.public:
            return


def test_a_key_is_replaced_at_its_age(tmp_path: Path) -> None:
    young, old = Host(tmp_path / "young", every_s=3600.0), Host(tmp_path / "old", every_s=-1.0)
    for host in (young, old):
        host.ring.note("red", None, absent=False)
    assert young.ring.keys()[1] is None
    assert old.ring.keys()[1] is not None


def test_what_is_said_does_not_go_back() -> None:
    one, two = (Pair(*seal.new_pair()) for _ in range(2))
    assert said("", one, None, ahead=False) == (one.public, "")
    assert said(one.public, one, two, ahead=False) == (one.public, two.public)
    assert said(one.public, one, two, ahead=True) == (two.public, "")
    assert said(two.public, one, two, ahead=False) == (two.public, ""), "as after a restart"
    assert one.private not in repr(one)


KEYS = [seal.new_pair()[1] for _ in range(4)]
ME, B, NEXT, C = KEYS


def test_a_next_key_is_let_in_by_hosts_that_are_alone_and_carries_nothing() -> None:
    rules = [rule("b", B, NEXT, 2), rule("c", C, B, 3), rule("d", "no key", "none either", 4), rule("e", ME, "x", 5)]
    peers = {key: Peer(public_key=key, endpoint=None, allowed=(IPv4Network("10.77.0.2"),)) for key in (B, C, ME)}
    found = [(peer.public_key, peer.allowed) for peer in peering.doors(peers, rules)]
    assert found == [(NEXT, ())], "c claims b's key"


@pytest.mark.parametrize(
    ("of_present", "of_next", "has_moved"), [(10, None, False), (10, 20, True), (20, 10, False), (None, 10, True)]
)
def test_the_later_handshake_tells_which_key_a_peer_uses(
    of_present: int | None, of_next: int | None, has_moved: bool
) -> None:
    def status(key: str, at: int | None) -> PeerStatus:
        shaken = NOW + timedelta(seconds=at) if at is not None else None
        return PeerStatus(
            public_key=key, endpoint=None, allowed=(), keepalive_s=0, last_handshake=shaken, received_bytes=0,
            sent_bytes=0,
        )  # fmt: skip

    found = peering.moved([rule("b", B, NEXT)], [status(B, of_present), status(NEXT, of_next)])
    assert found == ((rule("b", NEXT),) if has_moved else ())
    assert peering.moved([rule("b", B)], [status("", 1), status(B, of_present)]) == ()
