"""Root of etcd: a certificate that control nodes make themselves, since only its holder may change users and roles."""

from datetime import UTC, datetime, timedelta

from cladnet.access import revocation
from cladnet.access.etcd_auth import ROOT
from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from cladnet.etcd.cluster import TlsFiles
from cladnet.etcd.store import Store
from cladnet.member import Member
from larva import files, settings

RENEWAL = timedelta(days=60)


def root_tls() -> TlsFiles:
    """Return the files with which this control node is etcd's root, made or renewed if needed.

    They lie beside the CA's key, which could make them anew at any time: they give nothing away that it would not.

    Raises:
        NotFound: this is no control node.
    """
    directory = settings.state_directory() / "ca"
    ca = root_ca()
    tls = TlsFiles(
        ca=directory / "ca.pem",
        certificate=directory / "root.pem",
        key=directory / "root.key",
        authority=directory,
    )
    key = authority.read_or_create_key(tls.key)
    if not _is_good(tls, ca):
        signed = ca.sign_user(authority.signing_request(key, ROOT), ROOT)
        files.write_whole(tls.certificate, signed.pem)
    return tls


def open_root(*, timeout: float = 5.0) -> Store:
    """Return a connection to this control node's etcd as root; NotFound if it is none.

    Args:
        timeout: seconds after which a call raises Unavailable.
    """
    return Store(Member.load().etcd_endpoints, tls=root_tls(), timeout=timeout, first=True)


def root_ca() -> Authority:
    """Return the CA of this control node; NotFound if it is none."""
    return Authority.load(settings.state_directory() / "ca")


def _is_good(tls: TlsFiles, ca: Authority) -> bool:
    if not tls.certificate.exists():
        return False
    certificate = authority.read_certificate(tls.certificate.read_text(), source=str(tls.certificate))
    fits = certificate.public_key() == authority.read_key(tls.key).public_key() and ca.signed(certificate)
    if revocation.is_revoked(certificate):  # of a control node that was removed, and whose CA was restored here
        return False
    return fits and certificate.not_valid_after_utc - datetime.now(UTC) > RENEWAL
