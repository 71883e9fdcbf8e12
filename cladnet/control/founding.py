"""Founding: the first control node makes the CA and etcd, and leaves word how others reach it."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cladnet import keys
from cladnet.access.keeper import AccessKeeper
from cladnet.access.root import root_tls
from cladnet.control import node_files, record
from cladnet.control.etcd_config import Ports
from cladnet.control.etcd_members import EtcdMembers
from cladnet.control.node_files import Place
from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from cladnet.enrol.enrolment import MOST_EARLIER_SERIALS
from cladnet.enrol.join_file import JoinFile
from cladnet.etcd.store import Store
from cladnet.following import updated
from cladnet.member import Member, member_file, prepare_state, tls_files
from cladnet.model import ControlPlane, EnrolledHost
from larva import backoff, settings
from larva.errors import Conflict, Unavailable

log = logging.getLogger(__name__)

ETCD_STARTS_WITHIN_S = 120.0


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
    place = node_files.locate(wanted, known.host if known else wanted.host_name(), ports)
    log.info("founding on %s, reached by others at %s", place.host, place.public)

    prepare_state()
    clients = Authority.found(ca_directory)
    members = Authority.found(ca_directory / "members")
    node_files.own_certificate(clients, place.host)
    node_files.lay_out(place, clients, members)
    start_etcd()
    with Store([place.own_endpoint], tls=root_tls(), timeout=5.0) as store:
        plane = backoff.retry(
            lambda: _leave_word(store, place, ca=clients.fingerprint()),
            on=Unavailable,
            patience_s=ETCD_STARTS_WITHIN_S,
            doing="reach our own etcd",
            longest_pause_s=2.0,
        )
        _enrol_itself(store, place.host, wanted)
        backoff.retry(
            AccessKeeper(store).settle,
            on=Unavailable,
            patience_s=ETCD_STARTS_WITHIN_S,
            doing="give this control node its rights in etcd",
            longest_pause_s=2.0,
        )
    member = Member(
        host=place.host,
        groups=known.groups if known else (),
        roles=wanted.roles,
        server=place.record(ready=True).server,
        etcd_endpoints=(place.own_endpoint,),
        cloud=wanted.cloud,
        storage_devices=wanted.storage.devices,
        storage_encrypt=wanted.storage.encrypt,
    )
    member = updated(member, plane)
    member.save()
    return member


def unfinished_restore() -> Path:
    """There while a restore replaces the CA and etcd's data: what would be founded upon now is half of each."""
    return settings.state_directory() / "restore-unfinished"


def _leave_word(store: Store, place: Place, *, ca: str) -> ControlPlane:
    """Record this node, and tell etcd where it is now."""
    node = place.record(ready=True)
    members = EtcdMembers(store.cluster)
    for member in members.list():
        if member.name == place.host and node.peer_url not in member.peer_urls:
            members.move(member.id, node.peer_url)
    return record.keep(store, node, ca=ca)


def _enrol_itself(store: Store, host: str, wanted: JoinFile) -> None:
    certificate = authority.read_certificate(tls_files().certificate.read_text(), source=str(tls_files().certificate))
    found = store.get(keys.enrolled_host(host), EnrolledHost)
    serial, user = f"{certificate.serial_number:x}", authority.common_name(certificate)
    holder = authority.key_digest(authority.read_key(tls_files().key).public_key())
    if found is None:
        store.create(
            keys.enrolled_host(host),
            EnrolledHost(
                host=host,
                groups=(),
                roles=wanted.roles,
                certificate_serial=serial,
                enrolled_at=datetime.now(UTC),
                key_digest=holder,
                user=user,
                earlier_serials=node_files.client_serials(),
            ),
        )
    else:
        before = () if found.value.certificate_serial == serial else (found.value.certificate_serial,)
        earlier = tuple(dict.fromkeys((*before, *node_files.client_serials(), *found.value.earlier_serials)))
        # On another machine, restored, the key is another: what the old one held has to be good for nothing.
        token = found.value.token_digest if found.value.key_digest == holder else ""
        mine = replace(
            found.value,
            user=user,
            certificate_serial=serial,
            key_digest=holder,
            token_digest=token,
            earlier_serials=earlier[:MOST_EARLIER_SERIALS],  # the latest are first
        )
        if mine != found.value:
            store.replace(found, mine)
