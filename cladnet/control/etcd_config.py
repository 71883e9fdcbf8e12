"""What etcd is told on a control node: its configuration file as a function of where it runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

QUOTA_BYTES = 4 << 30
"""etcd's default is 2 GiB, its own advice for the most is 8 (etcd.io/docs, "System limits")."""

MOST_OPERATIONS = 4096
"""In one transaction; etcd's default of 128 would not let one volume be mounted on a thousand hosts at once.
What a request may hold, 1.5 MiB, is reached at about as many."""


HEARTBEAT_MS, ELECTION_MS = 250, 2500
"""About the round trip between the farthest clouds, and ten of it (etcd.io/docs, "Tuning"): a quorum over continents
keeps its leader, and a lost one is replaced within some seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """TCP ports of a control node."""

    client: int = 2379
    peer: int = 2380
    console: int = 8443


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdSite:
    """Where one member of etcd runs; `directory` holds its configuration, certificates and data."""

    host: str
    public_address: IPv4Address
    directory: Path
    revocation_list: Path
    """Of client certificates; etcd reads it at every connection."""
    ports: Ports
    existing: Mapping[str, str] | None = None
    """Name and peer URL of every member, itself among them, where there is a cluster already; None founds one."""


def configuration(site: EtcdSite) -> str:
    """Return the configuration file; JSON, which is YAML.

    TLS with client certificates on both sides. Members trust a CA of their own: a host's certificate lets it in as a
    client and not as a member, which could rewrite everything. The history of a key is kept for an hour, which is as
    long as a watch may be away without listing anew.
    """
    client = f"https://{site.public_address}:{site.ports.client}"
    peer = f"https://{site.public_address}:{site.ports.peer}"
    settings = {
        "name": site.host,
        "data-dir": str(site.directory / "data"),
        "listen-client-urls": f"https://0.0.0.0:{site.ports.client}",
        "listen-peer-urls": f"https://0.0.0.0:{site.ports.peer}",
        "advertise-client-urls": client,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": ",".join(f"{name}={url}" for name, url in (site.existing or {site.host: peer}).items()),
        "initial-cluster-state": "new" if site.existing is None else "existing",
        "initial-cluster-token": "larva",
        "client-transport-security": _tls(site.directory, "server", ca="ca.pem"),
        "peer-transport-security": _tls(site.directory, "peer", ca="peer-ca.pem"),
        # "client-transport-security" has no such setting, but what etcd 3.4 and 3.5 read this file into has it.
        # etcd compares serial numbers only, so that one list does for both authorities.
        "ClientTLSInfo": {"CRLFile": str(site.revocation_list)},
        "PeerTLSInfo": {"CRLFile": str(site.revocation_list)},
        "heartbeat-interval": HEARTBEAT_MS,
        "election-timeout": ELECTION_MS,
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "1h",
        "quota-backend-bytes": QUOTA_BYTES,
        "max-txn-ops": MOST_OPERATIONS,
        "enable-grpc-gateway": False,
        "log-level": "warn",
    }
    return json.dumps(settings, indent=2) + "\n"


def _tls(directory: Path, name: str, *, ca: str) -> dict[str, object]:
    return {
        "cert-file": str(directory / f"{name}.pem"),
        "key-file": str(directory / f"{name}.key"),
        "client-cert-auth": True,
        "trusted-ca-file": str(directory / ca),
    }
