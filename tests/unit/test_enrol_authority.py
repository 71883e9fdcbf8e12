import ssl
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cladnet.access import revocation
from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from larva.errors import InvalidInput, LarvaError, MalformedData, NotFound


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority.found(tmp_path / "ca")


def certificate_of(pem: str) -> x509.Certificate:
    return authority.read_certificate(pem, source="test")


def request(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody-else")])
    )
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM).decode()


def test_founding_twice_gives_the_same_authority(ca: Authority, tmp_path: Path) -> None:
    again = Authority.found(tmp_path / "ca")
    assert again.fingerprint() == ca.fingerprint() == Authority.load(tmp_path / "ca").fingerprint()
    assert ca.fingerprint() == authority.fingerprint_of(ca.certificate_pem, source="test")
    assert (tmp_path / "ca/ca.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700


def test_founding_goes_on_after_the_key_was_written(tmp_path: Path) -> None:
    directory = tmp_path / "ca"
    first = Authority.found(directory)
    (directory / "ca.pem").unlink()
    second = Authority.found(directory)
    signed = certificate_of(first.sign_client(authority.signing_request(authority.new_key(), "h"), "h").pem)
    assert second.signed(signed)


def test_there_is_no_authority_on_another_host(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Authority.load(tmp_path)


def test_a_key_of_another_authority_is_found_out(ca: Authority, tmp_path: Path) -> None:
    Authority.found(tmp_path / "other")
    (tmp_path / "ca/ca.key").write_bytes((tmp_path / "other/ca.key").read_bytes())
    with pytest.raises(MalformedData, match="does not belong"):
        Authority.load(tmp_path / "ca")


def test_a_client_certificate_is_for_the_host_and_nothing_else(ca: Authority) -> None:
    key = authority.new_key()
    signed = ca.sign_client(authority.signing_request(key, "whatever"), "aws-1")
    certificate = certificate_of(signed.pem)
    assert certificate.subject.rfc4514_string() == f"CN=aws-1.{signed.key_digest[:32]}"
    assert signed.user == authority.common_name(certificate)
    assert certificate.public_key() == key.public_key()
    assert signed.key_digest == authority.key_digest(key.public_key())
    assert int(signed.serial, 16) == certificate.serial_number
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert certificate.not_valid_before_utc < datetime.now(UTC) - authority.CLOCK_SKEW * 0.9
    assert ca.signed(certificate)


def test_an_authority_tells_its_certificates_from_anothers(ca: Authority, tmp_path: Path) -> None:
    other = Authority.found(tmp_path / "other")
    signed = certificate_of(other.sign_client(authority.signing_request(authority.new_key(), "h"), "h").pem)
    assert other.signed(signed)
    assert not ca.signed(signed)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=lambda key: type(key).__name__,
)
def test_only_p256_keys_are_signed(
    ca: Authority, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
) -> None:
    with pytest.raises(InvalidInput, match="P-256"):
        ca.sign_client(request(key), "h")


def test_a_request_whose_signature_was_not_made_by_its_key_is_refused(ca: Authority) -> None:
    mine, foreign = (
        x509.load_pem_x509_csr(request(authority.new_key()).encode()).public_bytes(serialization.Encoding.DER)
        for _ in range(2)
    )
    key_at = mine.index(b"\x04", mine.index(bytes.fromhex("2a8648ce3d030107")))
    forged_der = mine[:key_at] + foreign[key_at : key_at + 65] + mine[key_at + 65 :]
    forged = x509.load_der_x509_csr(forged_der).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(MalformedData, match="signature"):
        ca.sign_client(forged, "h")


@pytest.mark.parametrize("text", ["", "no PEM", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----", "é" * 9000])  # fmt: skip  # noqa: E501
def test_what_is_no_request_is_refused(ca: Authority, text: str) -> None:
    with pytest.raises(MalformedData):
        ca.sign_client(text, "h")


@pytest.mark.parametrize("host", ["", "a/b", "A", "../x", "a b", "x" * 64, "-a", "etcd member"])
def test_a_name_that_is_no_host_name_is_never_signed(ca: Authority, host: str) -> None:
    with pytest.raises(LarvaError):
        ca.sign_client(authority.signing_request(authority.new_key(), "h"), host)


def test_openssl_accepts_the_chain_under_its_strictest_rules(ca: Authority, tmp_path: Path) -> None:
    """A handshake in memory, both sides verifying, with the flags that Python 3.13 sets by default."""
    key = authority.new_key()
    server = ca.issue_server(key.public_key(), common_name="c", names=["c"], addresses=[IPv4Address("203.0.113.10")])
    client = ca.sign_client(authority.signing_request(key, "h"), "h")
    for name, pem in (("server", server.pem), ("client", client.pem)):
        (tmp_path / f"{name}.pem").write_text(pem + authority.key_pem(key).decode())

    def context(side: ssl.Purpose, name: str) -> ssl.SSLContext:
        made = ssl.create_default_context(side, cadata=ca.certificate_pem)
        made.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_cert_chain(tmp_path / f"{name}.pem")
        return made

    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context(ssl.Purpose.SERVER_AUTH, "client").wrap_bio(to_client, to_server, server_hostname="203.0.113.10")
    theirs = context(ssl.Purpose.CLIENT_AUTH, "server").wrap_bio(to_server, to_client, server_side=True)
    done: set[str] = set()
    for _ in range(6):
        for name, side in (("client", ours), ("server", theirs)):
            try:
                side.do_handshake()
                done.add(name)
            except ssl.SSLWantReadError:
                continue
    assert done == {"client", "server"}


@pytest.mark.parametrize("left_behind", [None, b"", b"rubbish"])
def test_the_revocation_list_says_who_is_out_and_heals(
    ca: Authority, tmp_path: Path, left_behind: bytes | None
) -> None:
    path = tmp_path / "revoked.pem"
    if left_behind is not None:
        path.write_bytes(left_behind)
    serials = frozenset(
        ca.sign_client(authority.signing_request(authority.new_key(), "h"), "h").serial for _ in range(3)
    )
    for wanted in (frozenset(), serials):
        revocation.write(ca, path, wanted)
        assert authority.revoked_serials(path.read_bytes(), source="list") == wanted
        assert all(authority.is_serial(serial) for serial in wanted)
    before = path.read_bytes()
    revocation.write(ca, path, serials)
    assert path.read_bytes() == before, "an ECDSA signature differs each time: it must not be made anew for nothing"
    assert x509.load_pem_x509_crl(before).is_signature_valid(certificate_of(ca.certificate_pem).public_key())


@pytest.mark.parametrize("text", ["", "0", "xyz", "-1", "g1", "1" * 41])
def test_what_is_no_serial_number(text: str) -> None:
    assert not authority.is_serial(text)
