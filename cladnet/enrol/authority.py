"""The system's certificate authority: one P-256 key that signs the hosts and the control plane's servers."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cladnet import keys
from larva import files
from larva.errors import InvalidInput, MalformedData, NotFound

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)

CLOCK_SKEW = timedelta(hours=1)
"""Certificates begin this long ago, so that a VM whose clock is late (no NTP yet) accepts them."""

MAX_CSR_BYTES = 8192
"""A P-256 request takes about 500."""

FINGERPRINT_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A signed certificate and what is kept of it."""

    pem: str
    serial: str
    """Hexadecimal."""
    user: str
    """Its common name, by which etcd knows its bearer."""
    key_digest: str
    """SHA-256 of the subject's public key (SubjectPublicKeyInfo, DER), hexadecimal."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the private key as unencrypted PKCS#8 PEM; the file's mode protects it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key in a PEM file; MalformedData if it holds anything else."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MalformedData(f"{path}: not a private key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise MalformedData(f"{path}: not an elliptic-curve key")
    return key


def require_pair(certificate_pem: str, private_key_pem: str, *, source: str) -> None:
    """Raise MalformedData, naming `source` and no key, unless these are a certificate and its P-256 key."""
    certificate = read_certificate(certificate_pem, source=source)
    try:
        key = serialization.load_pem_private_key(private_key_pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MalformedData(f"{source}: not a private key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise MalformedData(f"{source}: the key does not belong to the certificate")


def read_or_create_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the key in `path`; the first call makes it, 0600 from its first byte."""
    if not path.exists():
        files.write_once(path, key_pem(new_key()), mode=files.SECRET)
    return read_key(path)


def key_digest(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of a public key's SubjectPublicKeyInfo (DER), hexadecimal."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def fingerprint_of(certificate_pem: str, *, source: str) -> str:
    """Return the fingerprint of the one certificate in a PEM text; MalformedData, naming `source`, otherwise."""
    return _fingerprint(read_certificate(certificate_pem, source=source))


def read_certificate(certificate_pem: str, *, source: str) -> x509.Certificate:
    """Return the one certificate in a PEM text; MalformedData, naming `source`, otherwise."""
    try:
        [certificate] = x509.load_pem_x509_certificates(certificate_pem.encode())
    except ValueError as error:
        raise MalformedData(f"{source}: expected one certificate in PEM") from error
    return certificate


def signing_request(key: ec.EllipticCurvePrivateKey, host: str) -> str:
    """Return the PKCS#10 request (PEM) of a host for its client certificate; it proves possession of the key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(host))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


class Authority:
    """The CA with its private key, which never leaves the control nodes."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def found(cls, directory: Path) -> Self:
        """Return the authority in `directory`, creating it the first time.

        The key is written first and the certificate last; a call that was killed in between is finished by the next.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = read_or_create_key(directory / "ca.key")
        certificate_file = directory / "ca.pem"
        if not certificate_file.exists():
            files.write_once(certificate_file, _self_signed(key).public_bytes(serialization.Encoding.PEM))
        return cls.load(directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Return the authority in `directory`.

        Raises:
            NotFound: there is none: this is not a control node.
            MalformedData: the key and the certificate do not belong together.
        """
        try:
            key = read_key(directory / "ca.key")
            pem = (directory / "ca.pem").read_text()
        except FileNotFoundError as error:
            raise NotFound(
                f"there is no certificate authority in {directory}", hint="run this on a control node, as root"
            ) from error
        certificate = read_certificate(pem, source=str(directory / "ca.pem"))
        if certificate.public_key() != key.public_key():
            raise MalformedData(f"{directory}: ca.key does not belong to ca.pem")
        return cls(key, certificate)

    @property
    def certificate_pem(self) -> str:
        """The CA's certificate, which everybody may have."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def fingerprint(self) -> str:
        """Return `sha256:` and the digest of the CA certificate's DER: what a joining host pins."""
        return _fingerprint(self._certificate)

    @property
    def signing_key(self) -> ec.EllipticCurvePrivateKey:
        """The CA's private key, for what it says in etcd."""
        return self._key

    def signed(self, certificate: x509.Certificate) -> bool:
        """Whether the certificate is one of ours; its dates are not looked at."""
        return issued(certificate, by=self._certificate)

    def sign_client(self, csr_pem: str, host: str) -> Certificate:
        """Return a client certificate for `host`; of the request only its key is used.

        Its common name is the host's name and a digest of the key: whoever enrols under the name of a host that was
        removed is somebody else to etcd, and the old certificate does not come back to life.

        Raises:
            InvalidInput: the host name cannot be one, or the key is not P-256.
            MalformedData: no request, or one whose signature does not hold.
        """
        keys.segment(host, what="host")
        key = request_key(csr_pem)
        return self._sign(key, user_name(host, key_digest(key)), (ExtendedKeyUsageOID.CLIENT_AUTH,), ())

    def sign_user(self, csr_pem: str, user: str) -> Certificate:
        """Return a client certificate for a user of etcd that is no host; errors as `sign_client`."""
        return self._sign(request_key(csr_pem), user, (ExtendedKeyUsageOID.CLIENT_AUTH,), ())

    def issue_server(
        self,
        key: ec.EllipticCurvePublicKey,
        *,
        common_name: str,
        names: Sequence[str] = (),
        addresses: Sequence[IPv4Address | IPv6Address] = (),
        also_client: bool = False,
    ) -> Certificate:
        """Return a server certificate of the control plane for these DNS names and addresses.

        Args:
            also_client: the server calls others with it too, as etcd does among its members.
        """
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if also_client else [])]
        subjects = (*(x509.DNSName(name) for name in names), *(x509.IPAddress(address) for address in addresses))
        return self._sign(key, common_name, usages, subjects)

    def revocation_list(self, serials: Iterable[str]) -> bytes:
        """Return the list (CRL, PEM) of certificates of ours, by serial in hexadecimal, that are good no more."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - CLOCK_SKEW)
            .next_update(self._certificate.not_valid_after_utc)
        )
        for serial in sorted(serials):
            revoked = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(now)
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _sign(
        self,
        key: ec.EllipticCurvePublicKey,
        common_name: str,
        usages: Sequence[x509.ObjectIdentifier],
        subjects: Sequence[x509.GeneralName],
    ) -> Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common_name))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(min(now + LEAF_LIFETIME, self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if subjects:
            builder = builder.add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Certificate(
            pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
            serial=f"{certificate.serial_number:x}",
            user=common_name,
            key_digest=key_digest(key),
        )


def revoked_serials(pem: bytes, *, source: str) -> frozenset[str]:
    """Return the serial numbers in a revocation list, hexadecimal; MalformedData, naming `source`, otherwise."""
    try:
        return frozenset(f"{one.serial_number:x}" for one in x509.load_pem_x509_crl(pem))
    except ValueError as error:
        raise MalformedData(f"{source}: expected a revocation list in PEM") from error


def is_serial(text: str) -> bool:
    """Whether a text is a serial number in hexadecimal as `Certificate.serial` has it (RFC 5280: 20 bytes at most)."""
    return re.fullmatch(r"[1-9a-f][0-9a-f]{0,39}", text) is not None


def user_name(host: str, digest: str) -> str:
    """Return the common name of a host's certificate: as much of its name as fits, and 128 bits of its key's digest.

    A common name has 64 characters at most (RFC 5280, ub-common-name). The dot keeps it apart from etcd's own `root`.
    """
    return f"{host[:31]}.{digest[:32]}"


def issued(certificate: x509.Certificate, *, by: x509.Certificate) -> bool:
    """Whether the certificate is one of this CA's; its dates are not looked at."""
    try:
        certificate.verify_directly_issued_by(by)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def der(certificate: x509.Certificate) -> bytes:
    """Return a certificate's DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def common_name(certificate: x509.Certificate) -> str:
    """Return the common name of a certificate; empty if it has none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def request_key(csr_pem: str) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key that a signing request asks for and proves to hold; errors as `Authority.sign_client`."""
    if len(csr_pem) > MAX_CSR_BYTES:
        raise MalformedData(f"the certificate request is longer than {MAX_CSR_BYTES} bytes")
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        key = request.public_key()
        sound = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise MalformedData("the certificate request is not PKCS#10 in PEM") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidInput("the certificate request's key is not P-256", hint="create it with `larva join`")
    if not sound:
        raise MalformedData("the certificate request's signature does not belong to its key")
    return key


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = datetime.now(UTC)
    # The serial in the name keeps two systems' authorities apart in a trust store that looks them up by name.
    name = _name(f"larva {key_digest(key.public_key())[:8]}")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _fingerprint(certificate: x509.Certificate) -> str:
    return FINGERPRINT_PREFIX + certificate.fingerprint(hashes.SHA256()).hex()
