"""Founding: the first control node makes the CA and etcd, and leaves word how others reach it."""

import logging
import os
import pwd
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509

from cladnet import keys
from cladnet.access import revocation
from cladnet.access.keeper import AccessKeeper
from cladnet.access.root import root_tls
from cladnet.agent import discovery
from cladnet.control import etcd_config, record
from cladnet.control.etcd_config import EtcdSite, Ports
from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from cladnet.enrol.join_file import JoinFile
from cladnet.etcd.store import Store
from cladnet.member import Member, member_file, prepare_state, tls_files
from cladnet.model import ControlNode, EnrolledHost
from larva import backoff, files, settings
from larva.errors import Conflict, HostUnfit, Unavailable

log = logging.getLogger(__name__)

ETCD_USER = "etcd"
"""The user of Debian's package etcd-server; where it is missing, etcd runs as root."""

ETCD_STARTS_WITHIN_S = 120.0
RENEWAL = timedelta(days=60)
"""A certificate with less than this left is issued anew at boot."""


def found(wanted: JoinFile, *, start_etcd: Callable[[], None], ports: Ports = Ports()) -> Member:  # noqa: B008 - frozen
    """Return this control node's membership, founding the system first if needed.

    Each step looks at what is there and does what is missing, so that a call that was killed anywhere is finished by
    the next one, and a new address of the machine gets new certificates.

    Args:
        wanted: a join file without `[join]`.
        start_etcd: starts it, or does nothing if it runs; need not wait.

    Raises:
        Conflict: this host is enrolled with another control node, or holds half of a restored system.
        Unavailable: etcd does not answer in time.
    """
    if unfinished_restore().exists():
        raise Conflict(
            "a restore on this host was stopped in the middle",
            hint="run `larva control restore` again; it starts from the backup anew",
        )
    known = Member.load() if member_file().exists() else None
    ca_directory = settings.state_directory() / "ca"
    if known is not None and not (ca_directory / "ca.key").exists():
        raise Conflict(
            f"this host is enrolled with {known.server}; it cannot found a system of its own",
            hint=f"give [join] in join.toml, or delete {member_file()} and {tls_files().ca.parent} to start anew",
        )
    host = known.host if known else wanted.host_name()
    local = local_addresses()
    public = reached_at(wanted, local)
    log.info("founding on %s, reached by others at %s", host, public)

    prepare_state()
    clients = Authority.found(ca_directory)
    members = Authority.found(ca_directory / "members")
    names = (host, "localhost")
    addresses = tuple(dict.fromkeys((public, *local, IPv4Address("127.0.0.1"))))
    site = EtcdSite(
        host=host,
        public_address=public,
        directory=settings.state_directory() / "etcd",
        revocation_list=revocation.list_file(),
        ports=ports,
    )
    _own_certificate(clients, host)
    _server_certificate(clients, tls_files().ca.with_name("console.pem"), host, names, addresses)
    _lay_out_etcd(site, clients, members, names, addresses)

    start_etcd()
    endpoint = f"https://127.0.0.1:{ports.client}"
    server = f"https://{public}:{ports.console}"
    node = ControlNode(
        host=host,
        server=server,
        etcd_endpoint=f"https://{public}:{ports.client}",
        peer_url=f"https://{public}:{ports.peer}",
        cloud=discovery.overridden(discovery.metadata().cloud, wanted.cloud),
    )
    with Store([endpoint], tls=root_tls(), timeout=5.0) as store:
        backoff.retry(
            lambda: record.keep(store, node, ca=clients.fingerprint()),
            on=Unavailable,
            patience_s=ETCD_STARTS_WITHIN_S,
            doing="reach our own etcd",
            longest_pause_s=2.0,
        )
        _enrol_itself(store, host, wanted)
        backoff.retry(
            AccessKeeper(store).settle,
            on=Unavailable,
            patience_s=ETCD_STARTS_WITHIN_S,
            doing="give this control node its rights in etcd",
            longest_pause_s=2.0,
        )
    member = Member(
        host=host,
        groups=known.groups if known else (),
        roles=wanted.roles,
        server=server,
        etcd_endpoints=(endpoint,),
        cloud=wanted.cloud,
        storage_devices=wanted.storage.devices,
    )
    member.save()
    return member


def unfinished_restore() -> Path:
    """There while a restore replaces the CA and etcd's data: what would be founded upon now is half of each."""
    return settings.state_directory() / "restore-unfinished"


def local_addresses() -> tuple[IPv4Address, ...]:
    """Every address of this machine's interfaces."""
    return tuple(address.ip for interface in discovery.interfaces() for address in interface.addresses)


def reached_at(wanted: JoinFile, local: Sequence[IPv4Address]) -> IPv4Address:
    """The address by which others reach this control node; HostUnfit if it has none."""
    return wanted.control.public_address or discovery.metadata().public_address or _best(local)


def _best(local: Sequence[IPv4Address]) -> IPv4Address:
    if not local:
        raise HostUnfit(
            "this machine has no IPv4 address", hint="give public_address in [control] of join.toml, or fix its network"
        )
    return next((address for address in local if address.is_global), local[0])


def _own_certificate(clients: Authority, host: str) -> None:
    tls = tls_files()
    key = authority.read_or_create_key(tls.key)
    files.write_if_changed(tls.ca, clients.certificate_pem)
    if not _still_good(tls.certificate, tls.key, clients, ()):
        signed = clients.sign_client(authority.signing_request(key, host), host)
        files.write_whole(tls.certificate, signed.pem)


def _server_certificate(
    signer: Authority,
    path: Path,
    common_name: str,
    names: Sequence[str],
    addresses: Sequence[IPv4Address],
    *,
    also_client: bool = False,
) -> None:
    """Leave a certificate in `path` and its key beside it; what is there and still good stays."""
    key_file = path.with_suffix(".key")
    key = authority.read_or_create_key(key_file)
    if not _still_good(path, key_file, signer, addresses):
        signed = signer.issue_server(
            key.public_key(), common_name=common_name, names=names, addresses=addresses, also_client=also_client
        )
        files.write_whole(path, signed.pem)


def _still_good(path: Path, key_file: Path, signer: Authority, addresses: Sequence[IPv4Address]) -> bool:
    if not path.exists():
        return False
    certificate = authority.read_certificate(path.read_text(), source=str(path))
    if certificate.public_key() != authority.read_key(key_file).public_key() or not signer.signed(certificate):
        return False
    if certificate.not_valid_after_utc - datetime.now(UTC) < RENEWAL:
        return False
    try:
        subjects = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return not addresses
    return set(subjects.get_values_for_type(x509.IPAddress)) >= set(addresses)


def _lay_out_etcd(
    site: EtcdSite, clients: Authority, members: Authority, names: Sequence[str], addresses: Sequence[IPv4Address]
) -> None:
    """Everything etcd reads, owned by its user; the configuration last."""
    directory = site.directory
    directory.mkdir(mode=0o700, exist_ok=True)
    files.write_if_changed(directory / "ca.pem", clients.certificate_pem)
    files.write_if_changed(directory / "peer-ca.pem", members.certificate_pem)
    _server_certificate(clients, directory / "server.pem", site.host, names, addresses)
    _server_certificate(members, directory / "peer.pem", site.host, names, addresses, also_client=True)
    if not site.revocation_list.exists():  # etcd accepts nobody without; the controller keeps it
        revocation.write(clients, site.revocation_list, frozenset())
    files.write_if_changed(directory / "etcd.yaml", etcd_config.configuration(site))
    owner = etcd_owner()
    if owner is not None:
        for path in (directory, *directory.iterdir()):
            os.chown(path, *owner)


def etcd_owner() -> tuple[int, int] | None:
    """User and group that etcd's files belong to; None to leave them as they are."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ETCD_USER)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def _enrol_itself(store: Store, host: str, wanted: JoinFile) -> None:
    certificate = authority.read_certificate(tls_files().certificate.read_text(), source=str(tls_files().certificate))
    found = store.get(keys.enrolled_host(host), EnrolledHost)
    serial, user = f"{certificate.serial_number:x}", authority.common_name(certificate)
    if found is None:
        store.create(
            keys.enrolled_host(host),
            EnrolledHost(
                host=host,
                groups=(),
                roles=wanted.roles,
                certificate_serial=serial,
                enrolled_at=datetime.now(UTC),
                key_digest=authority.key_digest(authority.read_key(tls_files().key).public_key()),
                user=user,
            ),
        )
    elif (found.value.user, found.value.certificate_serial) != (user, serial):
        store.replace(found, replace(found.value, user=user, certificate_serial=serial))
