"""The pure half of renewal: when it is due, and which proofs count."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from cladnet.enrol.renewal import Proof, RenewalRefused, prove, require_proven
from cladnet.enrol.renewal_time import ASKED_BELOW, GRANTED_BELOW, is_due
from larva.errors import InvalidInput, LarvaError, MalformedData

NOW = datetime.now(UTC)
LATE = NOW + timedelta(days=300)
"""When a certificate that is made now is due."""


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return authority.new_key()


@pytest.fixture(scope="module")
def good(ca: Authority, key: ec.EllipticCurvePrivateKey) -> Proof:
    csr = authority.signing_request(key, "a")
    return prove(key, host="a", csr=csr, certificate=ca.sign_client(csr, "a").pem)


def refusal(proof: Proof, ca: Authority, now: datetime = LATE) -> str:
    with pytest.raises(RenewalRefused) as caught:
        require_proven(proof, ca, now)
    return caught.value.code


def test_a_good_proof_counts_however_often_it_is_shown(good: Proof, ca: Authority) -> None:
    first = require_proven(good, ca, LATE)
    assert require_proven(good, ca, LATE) == first == authority.read_certificate(good.certificate, source="test")


@given(st.timedeltas(timedelta(), timedelta(days=364)))
def test_a_host_asks_only_when_it_is_granted(ca: Authority, good: Proof, later: timedelta) -> None:
    certificate = authority.read_certificate(good.certificate, source="test")
    asked = is_due(certificate, NOW + later, below=ASKED_BELOW)
    granted = is_due(certificate, NOW + later, below=GRANTED_BELOW)
    assert asked == (later > timedelta(days=244)) or timedelta(days=242) < later < timedelta(days=245)
    assert granted or not asked


@pytest.mark.parametrize(
    ("days", "code"), [(0, "not-due"), (100, "not-due"), (366, "certificate-expired"), (-1, "certificate-expired")]
)
def test_the_time_has_to_fit(good: Proof, ca: Authority, days: int, code: str) -> None:
    assert refusal(good, ca, NOW + timedelta(days=days)) == code


def test_another_ca_vouches_for_nobody_here(good: Proof, tmp_path: Path) -> None:
    assert refusal(good, Authority.found(tmp_path)) == "certificate-foreign"


def test_another_host_or_key_or_purpose_is_refused(good: Proof, ca: Authority, key: ec.EllipticCurvePrivateKey) -> None:
    other = authority.new_key()
    others = authority.signing_request(other, "a")
    server = ca.issue_server(key.public_key(), common_name="a").pem
    assert refusal(prove(key, host="b", csr=good.csr, certificate=good.certificate), ca) == "certificate-of-another"
    assert refusal(prove(key, host="a", csr=others, certificate=good.certificate), ca) == "certificate-of-another"
    assert refusal(prove(key, host="a", csr=good.csr, certificate=server), ca) == "certificate-of-another"
    assert refusal(prove(other, host="a", csr=good.csr, certificate=good.certificate), ca) == "proof-wrong"


@pytest.mark.parametrize(
    "tamper",
    [
        lambda proof, ca, key: replace(proof, signature=proof.signature[:-1] + bytes([proof.signature[-1] ^ 1])),
        lambda proof, ca, key: replace(proof, signature=b""),
        lambda proof, ca, key: replace(proof, csr=authority.signing_request(key, "a")),
        lambda proof, ca, key: replace(proof, certificate=ca.sign_client(proof.csr, "a").pem),
    ],
    ids=["a bit of the signature", "no signature", "another request of the same key", "another certificate of it"],
)
def test_what_was_changed_after_signing_is_refused(
    good: Proof, ca: Authority, key: ec.EllipticCurvePrivateKey, tamper: Callable[..., Proof]
) -> None:
    assert refusal(tamper(good, ca, key), ca) == "proof-wrong"


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40), st.binary(max_size=80))
def test_nonsense_is_refused_in_words(ca: Authority, host: str, csr: str, certificate: str, signature: bytes) -> None:
    with pytest.raises(LarvaError) as caught:
        require_proven(Proof(host=host, csr=csr, certificate=certificate, signature=signature), ca, LATE)
    assert isinstance(caught.value, InvalidInput | MalformedData)
