"""Take a backup: a snapshot of etcd and the certificate authorities, encrypted, in one file that is written whole."""

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import grpc
from etcd3 import etcdrpc

from cladnet import keys
from cladnet.access import revocation
from cladnet.access.root import root_ca
from cladnet.control import archive, vault
from cladnet.control.archive import Manifest, Packer
from cladnet.etcd.cluster import Endpoint
from cladnet.etcd.store import Store
from cladnet.model import CladnetSpecification, EnrolledHost, Role
from larva import __version__, files, settings
from larva.errors import MalformedData, NotFound, Unavailable

log = logging.getLogger(__name__)

SNAPSHOT_WITHIN_S = 1800.0
"""etcd holds 4 GiB at the most, which a slow disk writes in this time."""

_DIGEST_BYTES = hashlib.sha256().digest_size
_PAGE_BYTES = 512
"""etcd's database is a multiple of this; its SHA-256 comes after it in a snapshot (etcd, `snapshot restore`)."""


def take(root: Store, host: str, path: Path, lock: vault.Lock) -> Manifest:
    """Write a backup into `path`, 0600, and return its manifest; what is there before stays unless all went well.

    Args:
        root: a connection to etcd as root.
        host: the control node that this is.

    Raises:
        NotFound: this is no control node.
        Unavailable: etcd does not answer, or stopped in the middle.
        MalformedData: what came is not what etcd says it sent.
        OSError: the disk is full or refuses.
    """
    ca = root_ca()
    with files.whole_file(path, mode=files.SECRET) as file:
        writer = vault.Writer(file, lock)
        packer = Packer(writer.write)
        for part in sorted(_ca_files()):
            packer.add(part, [(settings.state_directory() / part).read_bytes()])
        if revocation.list_file().exists():
            packer.add(archive.REVOKED, [revocation.list_file().read_bytes()])
        hosts = root.children(keys.ENROLLED_HOST, EnrolledHost)
        cladnets = root.list(keys.CONFIGURATION, CladnetSpecification)
        version, stream = _snapshot(root)
        packer.add(archive.SNAPSHOT, _checked(stream))
        manifest = Manifest(
            taken_at=datetime.now(UTC),
            host=host,
            larva_version=__version__,
            etcd_version=version,
            ca=ca.fingerprint(),
            revision=cladnets.revision,
            control_nodes=tuple(name for name, item in hosts.items() if Role.CONTROL in item.value.roles),
            cladnets=tuple(item.value.name for item in cladnets.items),
            hosts=len(hosts),
            parts=packer.parts,
        )
        packer.finish(manifest)
        writer.finish()
    log.info("backup of revision %d written to %s", manifest.revision, path)
    return manifest


def show(path: Path, secret: vault.Secret) -> Manifest:
    """Read a backup to its end and return its manifest.

    Raises:
        NotFound: there is no such file.
        Refused: the secret does not open it.
        MalformedData: it was cut, damaged or changed; the message names the file.
    """
    return unpacked(path, secret, None)


def unpacked(path: Path, secret: vault.Secret, directory: Path | None) -> Manifest:
    """As show(), and write the parts below `directory`, which must be empty and private, if there is one."""

    def sink(name: str) -> BinaryIO:
        target = directory / name if directory is not None else Path(os.devnull)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, files.SECRET), "wb")

    try:
        with path.open("rb") as file:
            return archive.unpack(vault.read(file, secret), sink)
    except FileNotFoundError as error:
        raise NotFound(f"there is no backup {path}") from error
    except MalformedData as error:
        raise MalformedData(
            f"{path}: {error.message}", hint=error.hint or "take another backup; this one cannot be trusted"
        ) from error


def _ca_files() -> Iterator[str]:
    """Every file of the authorities, as its part's name; none that a killed writer left."""
    state = settings.state_directory()
    for path in (state / "ca").rglob("*"):
        name = str(path.relative_to(state))
        if path.is_file() and archive.is_part(name):
            yield name


def _snapshot(root: Store) -> tuple[str, Iterator[bytes]]:
    """etcd's version, and its snapshot as it comes."""

    def begin(endpoint: Endpoint, seconds: float) -> tuple[str, Any]:
        status = endpoint.maintenance.Status(etcdrpc.StatusRequest(), timeout=seconds)
        return status.version, endpoint.maintenance.Snapshot(etcdrpc.SnapshotRequest(), timeout=SNAPSHOT_WITHIN_S)

    (version, stream), _ = root.cluster.call("take a snapshot of etcd", begin)
    return version, _blobs(stream)


def _blobs(stream: Any) -> Iterator[bytes]:
    try:
        for response in stream:
            yield response.blob
    except grpc.RpcError as error:
        raise Unavailable(
            f"etcd stopped in the middle of its snapshot: {error.details() or error.code().name}", hint="try again"
        ) from error
    finally:
        stream.cancel()


def _checked(blobs: Iterable[bytes]) -> Iterator[bytes]:
    """Pass a snapshot on; MalformedData at its end if it is not what the digest at its end says."""
    digest, size, tail = hashlib.sha256(), 0, b""
    for blob in blobs:
        yield blob
        size += len(blob)
        tail += blob
        digest.update(tail[:-_DIGEST_BYTES])
        tail = tail[-_DIGEST_BYTES:]
    if size <= _DIGEST_BYTES or size % _PAGE_BYTES != _DIGEST_BYTES or digest.digest() != tail:
        raise MalformedData("etcd's snapshot is not what its own digest says", hint="try again; check etcd's disk")
