"""Signatures on values of etcd, which rules an agent takes up, and for whom the system gives its word."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet import keys, networks
from cladnet.control import notary
from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from cladnet.etcd.cluster import TlsFiles
from cladnet.model import (
    CladnetSpecification,
    CladnetState,
    CloudFacts,
    EnrolledHost,
    HostNetworkInformation,
    HostState,
    NetworkingRule,
    RevocationList,
    Role,
)
from cladnet.trust import signature
from cladnet.trust.acceptance import SKEW, accept, is_earlier
from cladnet.trust.revocations import NONE, Memory, merged
from cladnet.trust.trust import Trust, Untrusted, own_certificate
from larva import codec
from larva.errors import MalformedData, Refused

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = keys.rule("red", "a")


def tls_of(directory: Path, ca: Authority, host: str, *, authority_directory: Path | None = None) -> TlsFiles:
    key = authority.new_key()
    given = ca.sign_client(authority.signing_request(key, host), host)
    directory.mkdir(parents=True, exist_ok=True)
    files = TlsFiles(
        ca=directory / "ca.pem", certificate=directory / f"{host}.pem", key=directory / f"{host}.key",
        authority=authority_directory,
    )  # fmt: skip
    files.ca.write_text(ca.certificate_pem)
    files.certificate.write_text(given.pem)
    files.key.write_bytes(authority.key_pem(key))
    return files


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Trust, Trust, Trust, Path]]:
    """The control node's, a's and b's view, and a directory."""
    directory = tmp_path_factory.mktemp("site")
    ca = Authority.found(directory / "ca")
    control = Trust(tls_of(directory, ca, "control", authority_directory=directory / "ca"))
    return control, Trust(tls_of(directory, ca, "a")), Trust(tls_of(directory, ca, "b")), directory


def rule(host: str = "a", **changed: object) -> NetworkingRule:
    made = NetworkingRule(
        host=host, address=IPv4Address("10.77.0.1"), public_key="k", endpoints=(), cloud=CloudFacts(),
        certificate="1", valid_until=NOW + timedelta(days=7),
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


def information(host: str, certificate: str = "") -> HostNetworkInformation:
    return HostNetworkInformation(
        host=host, public_address=None, interfaces=(), listen_port=51820, public_key="k", seal_key="s",
        certificate=certificate,
    )  # fmt: skip


def test_what_the_ca_signed_is_read_by_everybody_and_written_by_control_nodes_only(site) -> None:
    control, a, b, _ = site
    raw = control.encode(KEY, rule())
    assert a.decode(KEY, raw, NetworkingRule) == b.decode(KEY, raw, NetworkingRule) == rule()
    assert codec.decode(raw, NetworkingRule, source=KEY) == rule(), "who knows nothing of signatures reads it too"
    with pytest.raises(Refused, match="only control nodes"):
        a.encode(KEY, rule())


@pytest.mark.parametrize("field", ["host", "address", "public_key", "endpoints", "cloud", "state", "certificate",
                                   "valid_until"])  # fmt: skip
def test_no_field_of_a_rule_can_be_changed_or_dropped(site, field: str) -> None:
    control, a, _, _ = site
    raw = json.loads(control.encode(KEY, rule()))
    assert set(raw) == {field.name for field in rule().__dataclass_fields__.values()} | {"signature"}
    changed = {
        "host": "b", "address": "10.77.0.2", "public_key": "l", "cloud": {"provider": "aws"}, "state": "down",
        "endpoints": [{"kind": "public", "address": "203.0.113.66", "port": 1}], "certificate": "2",
        "valid_until": "2036-03-08T00:00:00Z",
    }  # fmt: skip
    for forged in ({**raw, field: changed[field]}, {name: value for name, value in raw.items() if name != field}):
        with pytest.raises(MalformedData):
            a.decode(KEY, json.dumps(forged, separators=(",", ":")).encode(), NetworkingRule)


@given(st.data())
def test_no_byte_of_a_signed_value_can_be_changed(site, data: st.DataObject) -> None:
    control, a, _, _ = site
    raw = bytearray(_A_RAW[0] if _A_RAW else _A_RAW.append(control.encode(KEY, rule())) or _A_RAW[0])
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    # Base64 has bits that mean nothing: what is read then is still exactly what was signed.
    try:
        assert a.decode(KEY, bytes(raw), NetworkingRule) == rule()
    except MalformedData:
        return
    assert at > raw.index(b'"signature"')


@given(st.sampled_from([keys.rule("blue", "a"), keys.rule("red", "b"), keys.enrolled_host("a"), "larva/x"]))
def test_a_signature_is_good_under_its_key_only(site, other: str) -> None:
    control, a, _, _ = site
    with pytest.raises(Untrusted):
        a.decode(other, control.encode(KEY, rule()), NetworkingRule)


def test_one_kinds_signature_does_not_pass_for_anothers(site) -> None:
    control, a, _, _ = site
    with pytest.raises(MalformedData):
        a.decode(KEY, control.encode(KEY, RevocationList(number=1, serials={})), NetworkingRule)


@given(st.binary(max_size=200))
def test_rubbish_has_no_signature(site, raw: bytes) -> None:
    _, a, _, _ = site
    with pytest.raises(MalformedData):
        a.decode(KEY, raw, NetworkingRule)
    body, signed = signature.split(raw)
    assert not signed or body != raw


def test_a_verdict_is_remembered_and_only_for_the_same_value(site, monkeypatch) -> None:
    control, _, _, directory = site
    fresh, asked = Trust(tls_of(directory / "fresh", Authority.load(directory / "ca"), "fresh")), []
    real = signature.holds
    monkeypatch.setattr(signature, "holds", lambda *words: asked.append(words) or real(*words))
    raw, other = control.encode(KEY, rule()), control.encode(KEY, rule())
    for value in (raw, raw, other, raw, other):
        fresh.decode(KEY, value, NetworkingRule)
    assert len(asked) == 2
    for _ in range(2):
        with pytest.raises(Untrusted):
            fresh.decode(keys.rule("red", "b"), raw, NetworkingRule)
    assert len(asked) == 3


def test_a_host_speaks_for_itself_only(site) -> None:
    _, a, b, directory = site
    key = keys.host_information("red", "a")
    raw = a.encode(key, information("a"))
    assert replace(b.decode(key, raw, HostNetworkInformation), certificate="") == information("a")
    for forged in (
        b.encode(key, information("a")),  # another host of the system
        Trust(tls_of(directory / "evil", Authority.found(directory / "evil-ca"), "a")).encode(key, information("a")),
        codec.encode(information("a")),
        raw.replace(b'"public_key":"k"', b'"public_key":"x"'),
    ):
        with pytest.raises(Untrusted):
            b.decode(key, forged, HostNetworkInformation)
    with pytest.raises(Untrusted):
        b.decode(keys.host_information("blue", "a"), raw, HostNetworkInformation)


def test_a_rule_counts_until_it_expires_and_one_taken_up_before_goes_on() -> None:
    now = NOW + timedelta(days=8)
    assert accept([rule()], [], revoked=frozenset(), now=NOW).rules == (rule(),)
    late = accept([rule()], [], revoked=frozenset(), now=now)
    assert late.rules == ()
    assert "expired" in late.refused["a"]
    assert accept([rule()], [rule()], revoked=frozenset(), now=now) == accept(
        [rule()], [rule()], revoked=set(), now=NOW
    )
    assert "how long" in accept([rule(valid_until=None)], [], revoked=frozenset(), now=NOW).refused["a"]


def test_an_older_rule_does_not_replace_the_one_known_and_a_revoked_ones_goes() -> None:
    new = rule(public_key="new", valid_until=NOW + timedelta(days=7, hours=1))
    replayed = accept([rule()], [new], revoked=frozenset(), now=NOW)
    assert replayed.rules == (new,)
    assert "older" in replayed.refused["a"]
    assert accept([new], [rule()], revoked=frozenset(), now=NOW).rules == (new,)
    again = rule(public_key="again", valid_until=new.valid_until - SKEW / 2)  # type: ignore[operator]
    assert accept([again], [new], revoked=frozenset(), now=NOW).rules == (again,)
    for known in ([], [new]):
        gone = accept([new, rule("b", certificate="2")], known, revoked={"1"}, now=NOW)
        assert [each.host for each in gone.rules] == ["b"]
        assert "revoked" in gone.refused["a"]
    assert accept([], [new], revoked=frozenset(), now=NOW).rules == (), "what is not there any more is not kept"


RULES = st.builds(
    rule, st.sampled_from("abc"), public_key=st.sampled_from("kl"), certificate=st.sampled_from("12"),
    state=st.sampled_from(HostState),
    valid_until=st.none() | st.integers(-9, 9).map(lambda days: NOW + timedelta(days=days)),
)  # fmt: skip
OF_EACH = st.lists(RULES, unique_by=lambda each: each.host)


@given(OF_EACH, OF_EACH, st.frozensets(st.sampled_from("12")))
def test_what_is_taken_up_is_stable_and_comes_from_what_was_read_or_known(read, known, revoked) -> None:
    accepted = accept(read, known, revoked=revoked, now=NOW)
    assert {each.host for each in accepted.rules} <= {each.host for each in read}
    assert not {each.certificate for each in accepted.rules} & revoked
    assert all(each in read or each in known for each in accepted.rules)
    assert {each.host for each in read} == {each.host for each in accepted.rules} | accepted.refused.keys()
    assert accept(read, accepted.rules, revoked=revoked, now=NOW).rules == accepted.rules


def enrolled(site, host: str, *groups: str) -> tuple[HostNetworkInformation, EnrolledHost, str]:
    """What a host says, its record, and the serial of its certificate."""
    _, _, _, directory = site
    files = tls_of(directory / "records", Authority.load(directory / "ca"), host)
    certificate = authority.read_certificate(files.certificate.read_text(), source=host)
    serial = f"{certificate.serial_number:x}"
    record = EnrolledHost(
        host=host, groups=groups, roles=(Role.MEMBER,), certificate_serial=serial, enrolled_at=NOW,
        key_digest=authority.key_digest(certificate.public_key()),  # type: ignore[arg-type]
    )  # fmt: skip
    return information(host, own_certificate(files)), record, serial


def test_the_word_is_given_to_members_with_a_good_certificate_of_their_own(site) -> None:
    said, record, serial = enrolled(site, "a", "red")
    _, other, _ = enrolled(site, "a", "red")
    now = datetime.now(UTC)

    def why(record: EnrolledHost | None, group: str = "red", revoked=frozenset(), now=now, said=said) -> object:
        found = notary.objection(group, said, record, revoked=revoked, now=now)
        return found and found.final

    assert why(record) is None
    assert why(None) is True
    assert why(record, "blue") is True
    assert why(replace(record, host="b")) is True
    assert why(record, revoked={serial}) is True
    assert why(other) is False, "a certificate of before the host was enrolled anew"
    assert why(record, now=now + timedelta(days=400)) is False
    assert why(record, said=replace(said, certificate="AAAA")) is False


@given(st.integers(0, 20 * 24), st.integers(-300, 300))
def test_a_rule_is_renewed_at_half_time_and_each_time_for_longer(site, hours: int, skew_s: int) -> None:
    said, _, serial = _A_HOST or _A_HOST.extend(enrolled(site, "renewed", "red")) or _A_HOST
    first = notary.warranted(rule(certificate="", valid_until=None), None, said, now=NOW)
    assert first.certificate == serial
    assert not notary.is_due(first, said, now=NOW)
    now = NOW + timedelta(hours=hours)
    assert notary.is_due(first, said, now=now) == (timedelta(hours=hours) > notary.VALIDITY - notary.RENEWAL)
    second = notary.warranted(first, first, said, now=now + timedelta(seconds=skew_s))
    assert second.valid_until > first.valid_until  # type: ignore[operator]
    assert notary.is_due(replace(first, certificate="other"), said, now=NOW)


_A_HOST: list[object] = []
_A_RAW: list[bytes] = []

LISTS = st.builds(
    RevocationList, number=st.integers(0, 5),
    serials=st.dictionaries(st.sampled_from("abcd"), st.integers(-500, 5).map(lambda days: NOW + timedelta(days=days))),
)  # fmt: skip


@given(LISTS, LISTS, LISTS)
def test_nothing_revoked_is_forgotten_before_its_certificate_ends_and_the_lists_come_together(one, two, asked) -> None:
    asked = replace(asked, number=0)
    wanted = merged(one, two, asked, now=NOW)
    for each in (one, two, asked):
        assert wanted.number >= each.number
        for serial, at in each.serials.items():
            assert serial in wanted.serials or at + authority.LEAF_LIFETIME < NOW
    assert wanted.number > 0
    # Any number of control nodes, each with what it knows, end at one list.
    assert merged(one, wanted, asked, now=NOW) == merged(wanted, wanted, asked, now=NOW) == wanted


def test_a_machine_remembers_the_highest_list_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "revocations.json"
    memory = Memory(path)
    assert memory.known == NONE
    assert memory.learn(RevocationList(number=3, serials={"ab": NOW}))
    assert not memory.learn(RevocationList(number=2, serials={}))
    assert not memory.learn(RevocationList(number=3, serials={}))
    assert Memory(path).serials() == {"ab"}
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"rubbish")
    assert Memory(path).known == NONE


def test_a_specification_cannot_be_widened_or_marked_deleted(site) -> None:
    from cladnet.model import CladnetSpecification

    control, a, _, _ = site
    key = keys.configuration("red")
    specification = codec.convert(
        {"id": "red", "name": "red", "cidr": "10.77.0.0/24", "created_at": "2026-01-01T00:00:00Z"},
        CladnetSpecification, source="test",
    )  # fmt: skip
    raw = control.encode(key, specification)
    assert a.decode(key, raw, CladnetSpecification).state is CladnetState.ACTIVE
    for old, new in ((b"10.77.0.0/24", b"10.0.0.0/8"), (b'"active"', b'"deleting"')):
        assert old in raw
        with pytest.raises(Untrusted):
            a.decode(key, raw.replace(old, new), CladnetSpecification)


def test_a_carried_certificate_is_plain_der(site) -> None:
    _, _, _, directory = site
    assert base64.b64decode(own_certificate(tls_of(directory, Authority.load(directory / "ca"), "z")))[0] == 0x30


def test_a_clock_that_jumps_ahead_forgets_no_revocation() -> None:
    known = RevocationList(number=1, serials={"ab": NOW})
    assert merged(known, now=NOW + timedelta(days=3650)).serials == {"ab": NOW}
    many = {f"{number:x}": NOW - timedelta(days=900) for number in range(1, 1200)}
    assert merged(known, RevocationList(number=2, serials=many), now=NOW).serials == {"ab": NOW}


def test_an_agent_forgets_no_revocation_that_a_restored_control_plane_does_not_know(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "revocations.json")
    assert memory.hear(RevocationList(number=3, serials={"ab": NOW}))
    assert memory.hear(RevocationList(number=9, serials={"cd": NOW}))  # from a backup made before "ab" was removed
    assert Memory(tmp_path / "revocations.json").serials() == {"ab", "cd"}
    assert not memory.hear(RevocationList(number=9, serials={"ef": NOW}))


VERSIONS = st.tuples(st.sampled_from([0, 1]), st.integers(0, 3))


def _specification(life: int, version: int) -> CladnetSpecification:
    return CladnetSpecification(
        id="red", name="red", cidr=IPv4Network("10.0.0.0/24"), version=version,
        created_at=datetime(2026, 1, 1 + life, tzinfo=UTC),
    )  # fmt: skip


@given(st.lists(VERSIONS, max_size=8))
def test_what_is_known_of_a_network_never_goes_back(read: list[tuple[int, int]]) -> None:
    known = None
    for life, version in read:
        heard, before = _specification(life, version), known
        known = known if is_earlier(heard, known) else heard
        assert before is None or (before.created_at, before.version) <= (known.created_at, known.version)
        assert not is_earlier(known, known), "nor is the same refused"
    if read:
        assert known == _specification(*max(read))


@given(
    st.integers(0, 2**40), st.timedeltas(timedelta(days=-20_000), timedelta(days=20_000)).map(lambda past: NOW + past)
)
def test_a_change_has_a_higher_version_whatever_the_clock_says(before: int, now: datetime) -> None:
    assert networks.next_version(before, now) > before
    assert networks.next_version(before, now) >= int(now.timestamp())
