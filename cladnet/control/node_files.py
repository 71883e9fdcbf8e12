"""What a control node keeps on its disk for its servers: their certificates, and all that its etcd reads."""

import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509

from cladnet.access import revocation
from cladnet.agent import discovery
from cladnet.control import etcd_config
from cladnet.control.etcd_config import EtcdSite, Ports
from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from cladnet.enrol.join_file import JoinFile
from cladnet.member import tls_files
from cladnet.model import CloudFacts, ControlNode
from larva import files, settings
from larva.errors import HostUnfit

ETCD_USER = "etcd"
"""The user of Debian's package etcd-server; where it is missing, etcd runs as root."""

RENEWAL = timedelta(days=60)
"""A certificate with less than this left is issued anew at boot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a control node is."""

    host: str
    public: IPv4Address
    """What other clouds reach."""
    local: tuple[IPv4Address, ...]
    ports: Ports
    cloud: CloudFacts

    @property
    def own_endpoint(self) -> str:
        """Its etcd, as it reaches it itself."""
        return f"https://127.0.0.1:{self.ports.client}"

    def record(self, *, ready: bool) -> ControlNode:
        """How others reach it."""
        return ControlNode(
            host=self.host,
            server=f"https://{self.public}:{self.ports.console}",
            etcd_endpoint=f"https://{self.public}:{self.ports.client}",
            peer_url=f"https://{self.public}:{self.ports.peer}",
            ready=ready,
            cloud=self.cloud,
        )


def locate(wanted: JoinFile, host: str, ports: Ports, *, seen: IPv4Address | None = None) -> Place:
    """Return where this control node is.

    Args:
        seen: the address from which another control node sees it, for where nobody else tells its public one.

    Raises:
        HostUnfit: it has no address.
    """
    local = tuple(address.ip for interface in discovery.interfaces() for address in interface.addresses)
    told = discovery.metadata()
    public = wanted.control.public_address or told.public_address or seen
    if public is None and not local:
        raise HostUnfit(
            "this machine has no IPv4 address", hint="give public_address in [control] of join.toml, or fix its network"
        )
    return Place(
        host=host,
        public=public or next((address for address in local if address.is_global), local[0]),
        local=local,
        ports=ports,
        cloud=discovery.overridden(told.cloud, wanted.cloud),
    )


def etcd_directory() -> Path:
    """Where etcd's configuration, certificates and data are; owned by its user."""
    return settings.state_directory() / "etcd"


def etcd_has_data() -> bool:
    """Whether etcd has run here: it goes by its data then, and not by whom its configuration names as members."""
    return any((etcd_directory() / "data" / "member" / "wal").glob("*.wal"))


def lay_out(place: Place, clients: Authority, members: Authority, *, existing: Mapping[str, str] | None = None) -> None:
    """Leave everything that console and etcd read, etcd's configuration last.

    Args:
        existing: for a further member: name and peer URL of every member of etcd, its own among them.
    """
    directory = etcd_directory()
    directory.mkdir(mode=0o700, exist_ok=True)
    server_certificate(clients, tls_files().ca.with_name("console.pem"), place)
    files.write_if_changed(directory / "ca.pem", clients.certificate_pem)
    files.write_if_changed(directory / "peer-ca.pem", members.certificate_pem)
    server_certificate(clients, directory / "server.pem", place)
    server_certificate(members, directory / "peer.pem", place, also_client=True)
    if not revocation.list_file().exists():  # etcd accepts nobody without; the controller keeps it
        revocation.write(clients, revocation.list_file(), frozenset())
    site = EtcdSite(
        host=place.host,
        public_address=place.public,
        directory=directory,
        revocation_list=revocation.list_file(),
        ports=place.ports,
        existing=existing,
    )
    files.write_if_changed(directory / "etcd.yaml", etcd_config.configuration(site))
    owner = etcd_owner()
    if owner is not None:
        for path in (directory, *directory.iterdir()):
            os.chown(path, *owner)


def own_certificate(clients: Authority, host: str) -> None:
    """Leave this control node's client certificate beside its key; one that is there and still good stays."""
    tls = tls_files()
    key = authority.read_or_create_key(tls.key)
    files.write_if_changed(tls.ca, clients.certificate_pem)
    if not _still_good(tls.certificate, tls.key, clients, ()):
        signed = clients.sign_client(authority.signing_request(key, host), host)
        files.write_whole(tls.certificate, signed.pem)


def server_certificate(signer: Authority, path: Path, place: Place, *, also_client: bool = False) -> None:
    """Leave a certificate for the node's addresses in `path` and its key beside it; a good one stays."""
    addresses = tuple(dict.fromkeys((place.public, *place.local, IPv4Address("127.0.0.1"))))
    key_file = path.with_suffix(".key")
    key = authority.read_or_create_key(key_file)
    if not _still_good(path, key_file, signer, addresses):
        signed = signer.issue_server(
            key.public_key(),
            common_name=place.host,
            names=(place.host, "localhost"),
            addresses=addresses,
            also_client=also_client,
        )
        files.write_whole(path, signed.pem)


def client_serials() -> tuple[str, ...]:
    """Serial numbers of the certificates with which this node calls others besides its own: root's and its etcd's."""
    paths = (settings.state_directory() / "ca" / "root.pem", etcd_directory() / "peer.pem")
    found = (authority.read_certificate(path.read_text(), source=str(path)) for path in paths if path.exists())
    return tuple(f"{each.serial_number:x}" for each in found)


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


def etcd_owner() -> tuple[int, int] | None:
    """User and group that etcd's files belong to; None to leave them as they are."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ETCD_USER)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid
