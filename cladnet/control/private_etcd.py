"""An etcd of our own on loopback, for as long as it takes to look into a data directory and change it."""

import contextlib
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

from cladnet.access.etcd_auth import ROOT
from cladnet.control.etcd_config import MOST_OPERATIONS, QUOTA_BYTES
from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from cladnet.etcd.cluster import TlsFiles
from cladnet.etcd.store import Store
from larva import backoff, files, ports, process
from larva.errors import HostUnfit, Unavailable

STARTS_WITHIN_S = 300.0
"""What the unit larva-etcd gives it too: it reads the whole database first."""
ENDS_WITHIN_S = 60.0
_LOOPBACK = IPv4Address("127.0.0.1")


@contextlib.contextmanager
def running(data: Path, ca_directory: Path, scratch: Path) -> Iterator[Store]:
    """Run etcd on a data directory and give a connection as root; etcd has ended when the block has.

    Args:
        ca: whose root etcd's users know; nobody else gets in, and no other machine reaches it.
        scratch: a private directory for certificates and etcd's log.

    Raises:
        HostUnfit: etcd is not installed, or ended at once; the message has its last lines.
        Unavailable: it did not answer in time.
    """
    process.require_programs("etcd")
    scratch.mkdir(mode=0o700, exist_ok=True)
    server, root = _certificates(ca_directory, scratch)
    client_port, peer_port = ports.free(2)
    url = f"https://{_LOOPBACK}:{client_port}"
    argv = [
        "etcd", "--data-dir", str(data), "--listen-client-urls", url, "--advertise-client-urls", url,
        "--listen-peer-urls", f"http://{_LOOPBACK}:{peer_port}", "--client-cert-auth",
        "--trusted-ca-file", str(server.ca), "--cert-file", str(server.certificate), "--key-file", str(server.key),
        "--quota-backend-bytes", str(QUOTA_BYTES), "--max-txn-ops", str(MOST_OPERATIONS),  # as those it was made by
        "--enable-grpc-gateway=false", "--log-level", "warn",
    ]  # fmt: skip
    log_file = scratch / "etcd.log"
    with log_file.open("wb") as log:
        etcd = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        with Store([url], tls=root) as store:
            backoff.retry(
                lambda: _ask(store, etcd, log_file),
                on=Unavailable,
                patience_s=STARTS_WITHIN_S,
                doing="reach the restored etcd",
                longest_pause_s=1.0,
            )
            yield store
    finally:
        etcd.terminate()
        try:
            etcd.wait(timeout=ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            etcd.kill()
            etcd.wait(timeout=ENDS_WITHIN_S)


def _ask(store: Store, etcd: "subprocess.Popen[bytes]", log_file: Path) -> None:
    if etcd.poll() is not None:
        lines = log_file.read_text(errors="replace").splitlines()[-process.TAIL_LINES :]
        raise HostUnfit(f"etcd ended with code {etcd.returncode}:\n" + "\n".join(lines))
    store.exists("there-is-none")


def _certificates(ca_directory: Path, scratch: Path) -> tuple[TlsFiles, TlsFiles]:
    ca = Authority.load(ca_directory)
    ca_file = scratch / "trusted.pem"
    files.write_whole(ca_file, ca.certificate_pem)
    made = []
    for name in ("server", ROOT):
        key = authority.new_key()
        signed = (
            ca.sign_user(authority.signing_request(key, ROOT), ROOT)
            if name == ROOT
            else ca.issue_server(key.public_key(), common_name="etcd", addresses=[_LOOPBACK])
        )
        tls = TlsFiles(
            ca=ca_file,
            certificate=scratch / f"{name}.pem",
            key=scratch / f"{name}.key",
            authority=ca_directory,
        )
        files.write_whole(tls.key, authority.key_pem(key), mode=files.SECRET)
        files.write_whole(tls.certificate, signed.pem)
        made.append(tls)
    server, root = made
    return server, root
