"""A control node's own certificates, renewed while it runs: console, etcd, and those by which it calls others.

Nothing has to be restarted: etcd and the console read their files at each handshake, services that call etcd open
their connections anew within five minutes. Keys, names and addresses stay; new addresses are the next boot's matter.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from cladnet import keys
from cladnet.access.etcd_auth import ROOT
from cladnet.control import node_files
from cladnet.enrol import authority
from cladnet.enrol.authority import Authority, Certificate
from cladnet.enrol.enrolment import MOST_EARLIER_SERIALS
from cladnet.enrol.renewal_time import is_due
from cladnet.etcd.store import Store
from cladnet.member import Member, tls_directory, tls_files
from cladnet.model import EnrolledHost
from larva import files, settings
from larva.errors import Conflict, NotFound, Unavailable

log = logging.getLogger(__name__)

_ATTEMPTS = 20
"""Transactions that lost a race are tried again."""


class Use(StrEnum):
    """What a certificate of a control node is for."""

    CONSOLE = "console"
    ETCD = "etcd"
    PEER = "etcd among its members"
    ROOT = "etcd's root"
    CLIENT = "client of etcd"


CALLING = frozenset({Use.PEER, Use.ROOT, Use.CLIENT})
"""Others are called with these: they are put into the host's record before use, so that its removal revokes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How a look at one certificate left it."""

    use: Use
    path: Path
    ends: datetime
    why_renewed: str
    """Empty if it stayed."""


def why_due(certificate: x509.Certificate, now: datetime) -> str:
    """Return why a certificate is to be issued anew; empty if it may stay."""
    if now < certificate.not_valid_before_utc:  # issued while the clock was ahead: nobody accepts it
        return f"it is good only from {certificate.not_valid_before_utc.isoformat(timespec='seconds')} on"
    if is_due(certificate, now):
        return f"it ends {certificate.not_valid_after_utc.isoformat(timespec='seconds')}"
    return ""


def with_serials(record: EnrolledHost, serials: Sequence[str], client: Certificate | None) -> EnrolledHost:
    """Return a host's record that names further certificates, the latest first.

    Args:
        serials: of certificates beside the host's own; those that it names already stay where they are.
        client: takes the place of the host's own.
    """
    added = [serial for serial in serials if serial not in record.earlier_serials]
    if client is not None and client.serial != record.certificate_serial:
        added.append(record.certificate_serial)
    earlier = tuple(dict.fromkeys((*added, *record.earlier_serials)))[:MOST_EARLIER_SERIALS]
    own = client.serial if client is not None else record.certificate_serial
    return replace(record, certificate_serial=own, earlier_serials=earlier)


def issue_anew(
    old: x509.Certificate, use: Use, signer: Authority, key: ec.EllipticCurvePrivateKey, *, host: str
) -> Certificate:
    """Return a certificate of the same key for the same names and addresses as the old one."""
    if use is Use.ROOT:
        return signer.sign_user(authority.signing_request(key, ROOT), ROOT)
    if use is Use.CLIENT:
        return signer.sign_client(authority.signing_request(key, host), host)
    try:
        subjects = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        subjects = x509.SubjectAlternativeName([])
    return signer.issue_server(
        key.public_key(),
        common_name=authority.common_name(old),
        names=subjects.get_values_for_type(x509.DNSName),
        addresses=[
            address
            for address in subjects.get_values_for_type(x509.IPAddress)
            if isinstance(address, IPv4Address | IPv6Address)
        ],
        also_client=use is Use.PEER,
    )


def paths() -> Mapping[Use, Path]:
    """Where each certificate is; its key is beside it."""
    etcd = node_files.etcd_directory()
    return {
        Use.CONSOLE: tls_directory() / "console.pem",
        Use.ETCD: etcd / "server.pem",
        Use.PEER: etcd / "peer.pem",
        Use.ROOT: settings.state_directory() / "ca" / "root.pem",
        Use.CLIENT: tls_files().certificate,
    }


def renew(open_root: Callable[[], Store], *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> list[Kept]:
    """Renew what is due; may be killed anywhere and called again, also by several at once.

    The servers' certificates come first: they need no etcd.

    Args:
        open_root: opens etcd as its root.
        clock: the time, UTC.

    Raises:
        NotFound: this is no control node, or not booted yet.
        Conflict: it was removed.
        Unavailable: etcd does not answer; the servers' certificates are renewed all the same.
    """
    host = Member.load().host
    ca = settings.state_directory() / "ca"
    signers = {use: Authority.load(ca / "members" if use is Use.PEER else ca) for use in Use}
    here = paths()
    if missing := [path for path in here.values() if not path.exists()]:
        raise NotFound(
            f"there is no {missing[0]}", hint="`larva boot` makes it: see `systemctl status larva-boot` on this node"
        )
    found = {use: authority.read_certificate(path.read_text(), source=str(path)) for use, path in here.items()}
    due = {use: why for use, certificate in found.items() if (why := why_due(certificate, clock()))}
    fresh = {
        use: issue_anew(found[use], use, signers[use], authority.read_key(here[use].with_suffix(".key")), host=host)
        for use in due
    }
    for use in fresh.keys() - CALLING:
        _write(use, here[use], fresh[use], due[use])
    with open_root() as root:
        issued = [fresh[use].serial for use in (Use.PEER, Use.ROOT) if use in fresh]
        _record(root, host, (*issued, *node_files.client_serials()), fresh.get(Use.CLIENT))
    for use in fresh.keys() & CALLING:
        _write(use, here[use], fresh[use], due[use])
    return [
        Kept(
            use=use,
            path=path,
            ends=authority.read_certificate(path.read_text(), source=str(path)).not_valid_after_utc,
            why_renewed=due.get(use, ""),
        )
        for use, path in here.items()
    ]


def _record(root: Store, host: str, serials: Sequence[str], client: Certificate | None) -> None:
    """Put certificates into the host's record, unless it names them; also such as were made without."""
    holder = authority.key_digest(authority.read_key(tls_files().key).public_key())
    for _ in range(_ATTEMPTS):
        found = root.get(keys.enrolled_host(host), EnrolledHost)
        if found is None or found.value.key_digest != holder:
            raise Conflict(
                f"{host} was removed from the system, or another machine has its name now",
                hint="stop this machine; `larva control add` on another control node makes what a new one joins with",
            )
        wanted = with_serials(found.value, serials, client)
        if wanted == found.value:
            return
        try:
            root.replace(found, wanted)
        except Conflict as error:
            log.debug("looking again: %s", error.message)
        else:
            return
    raise Unavailable(f"somebody else keeps changing the record of {host}", hint="try again in a moment")


def _write(use: Use, path: Path, certificate: Certificate, why: str) -> None:
    owner = node_files.etcd_owner() if use in (Use.ETCD, Use.PEER) else None
    files.write_whole(path, certificate.pem, owner=owner)
    log.info("the certificate for %s is renewed: %s", use, why)
