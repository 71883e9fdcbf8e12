"""The pure half of a control node's own certificates: which are due, what takes their place, what is kept of them."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from cladnet.control.own_certificates import Use, issue_anew, why_due, with_serials
from cladnet.enrol import authority
from cladnet.enrol.authority import LEAF_LIFETIME, Authority, Certificate
from cladnet.enrol.enrolment import MOST_EARLIER_SERIALS
from cladnet.model import EnrolledHost, Role

NOW = datetime.now(UTC)
KEY = authority.new_key()
SERVERS = [Use.CONSOLE, Use.ETCD, Use.PEER]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(ca: Authority) -> x509.Certificate:
    signed = ca.issue_server(
        KEY.public_key(), common_name="control-1", names=("control-1", "localhost"),
        addresses=(IPv4Address("203.0.113.10"), IPv4Address("127.0.0.1")), also_client=True,
    )  # fmt: skip
    return authority.read_certificate(signed.pem, source="test")


@given(st.timedeltas(timedelta(days=-800), timedelta(days=800)))
def test_a_certificate_is_due_when_nobody_accepts_it_and_in_its_last_third(
    server: x509.Certificate, later: timedelta
) -> None:
    now = NOW + later
    good = server.not_valid_before_utc <= now < server.not_valid_after_utc
    early = now < server.not_valid_after_utc - LEAF_LIFETIME * 0.4
    late = now > server.not_valid_after_utc - LEAF_LIFETIME * 0.3
    if not good or late:
        assert why_due(server, now)
    elif early:
        assert not why_due(server, now)


def test_the_reason_names_the_day(server: x509.Certificate) -> None:
    assert f"it ends {server.not_valid_after_utc:%Y-%m-%d}" in why_due(server, NOW + timedelta(days=300))
    assert f"only from {server.not_valid_before_utc:%Y-%m-%d}" in why_due(server, NOW - timedelta(days=2))


@pytest.mark.parametrize("use", SERVERS)
def test_a_server_keeps_key_names_and_addresses(ca: Authority, server: x509.Certificate, use: Use) -> None:
    signed = issue_anew(server, use, ca, KEY, host="control-1")
    new = authority.read_certificate(signed.pem, source="test")
    assert new.public_key() == server.public_key()
    assert new.serial_number != server.serial_number
    assert new.subject == server.subject
    names, usages = x509.SubjectAlternativeName, x509.ExtendedKeyUsage
    assert new.extensions.get_extension_for_class(names) == server.extensions.get_extension_for_class(names)
    calls = ExtendedKeyUsageOID.CLIENT_AUTH in new.extensions.get_extension_for_class(usages).value
    assert calls == (use is Use.PEER)


def test_who_calls_etcd_stays_the_same_user(ca: Authority) -> None:
    client = ca.sign_client(authority.signing_request(KEY, "control-1"), "control-1")
    old = authority.read_certificate(client.pem, source="test")
    assert issue_anew(old, Use.CLIENT, ca, KEY, host="control-1").user == client.user
    assert issue_anew(old, Use.ROOT, ca, KEY, host="control-1").user == "root"


serials = st.lists(st.sampled_from("abcdef"), max_size=4)


@given(serials, serials, st.sampled_from([None, "a", "f"]))
def test_a_record_forgets_no_certificate_and_twice_is_once(
    earlier: list[str], added: list[str], client: str | None
) -> None:
    before = record("a", *dict.fromkeys(earlier))
    issued = Certificate(pem="", serial=client, user="u", key_digest="d") if client else None
    after = with_serials(before, added, issued)
    known = {before.certificate_serial, *before.earlier_serials, *added, *([client] if client else [])}
    assert known == {after.certificate_serial, *after.earlier_serials}
    assert with_serials(after, added, issued) == after


def test_the_latest_certificates_are_those_that_a_full_record_keeps() -> None:
    full = record("own", *(f"{number:x}" for number in range(1, MOST_EARLIER_SERIALS + 1)))
    after = with_serials(full, ["new"], Certificate(pem="", serial="newer", user="u", key_digest="d"))
    assert after.certificate_serial == "newer"
    assert after.earlier_serials[:3] == ("new", "own", "1")
    assert len(after.earlier_serials) == MOST_EARLIER_SERIALS


def record(serial: str, *earlier: str) -> EnrolledHost:
    return EnrolledHost(
        host="control-1", groups=(), roles=(Role.CONTROL,), certificate_serial=serial, enrolled_at=NOW,
        earlier_serials=earlier,
    )  # fmt: skip


def test_nothing_is_renewed_where_nothing_was_founded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARVA_STATE", str(tmp_path))
    from cladnet.access.root import open_root
    from cladnet.control import own_certificates
    from larva.errors import NotFound

    with pytest.raises(NotFound, match="not enrolled"):
        own_certificates.renew(open_root)
