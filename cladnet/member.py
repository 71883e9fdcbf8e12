"""What this host knows of its own membership: `member.toml`, its TLS files, its identity keys."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cladnet import seal
from cladnet.etcd.cluster import TlsFiles
from cladnet.model import CloudFacts, Role
from larva import codec, files, settings, toml
from larva.errors import HostUnfit, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """This host in the system, as its enrolment left it: `/var/lib/larva/member.toml`."""

    host: str
    groups: tuple[str, ...]
    """The CLADNets at enrolment; `larva/host/{host}` in etcd says which they are now."""
    roles: tuple[Role, ...]
    server: str
    """URL of the console that it turns to first: the one that enrolled it, on a control node its own."""
    etcd_endpoints: tuple[str, ...]
    """Where etcd answers; on a control node its own comes first."""
    servers: tuple[str, ...] = ()
    """Every console that was known last."""
    cloud: CloudFacts = field(default_factory=CloudFacts)
    """What user-data says of the cloud; empty where it leaves that to the provider's metadata."""
    storage_devices: tuple[Path, ...] = ()
    storage_encrypt: bool = False
    """Whether OSDs that are made on those are encrypted."""

    @classmethod
    def load(cls) -> Self:
        """Return this host's membership.

        Raises:
            NotFound: the host is not enrolled.
            HostUnfit: the caller may not read it.
            MalformedData: the file is broken.
        """
        path = member_file()
        try:
            if not path.is_file():
                raise NotFound(
                    "this host is not enrolled",
                    hint="`larva join` enrols it; on a VM of the appliance see `systemctl status larva-boot`",
                )
        except PermissionError as error:
            raise HostUnfit(f"{path} may only be read by root", hint="run the same command with sudo") from error
        if not os.access(path, os.R_OK):
            raise HostUnfit(f"{path} may only be read by root", hint="run the same command with sudo")
        return codec.read_toml(path, cls)

    def save(self) -> None:
        """Write it whole, 0600, if it differs from what is there."""
        with _alone():
            self._write()

    def _write(self) -> None:
        files.write_if_changed(member_file(), toml.encode(self), mode=files.SECRET)


def change(how: Callable[[Member], Member]) -> Member:
    """Change this host's membership on disk and return it; several services of one host may do so at once."""
    with _alone():
        changed = how(Member.load())
        changed._write()
        return changed


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Be the only one who writes it, for as long as one small file takes."""
    with (settings.state_directory() / "member.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def member_file() -> Path:
    """Where the membership is kept; written last by enrolment, so that its presence means the rest is there."""
    return settings.state_directory() / "member.toml"


def tls_directory() -> Path:
    """Where this host's certificates and their keys are; 0700."""
    return settings.state_directory() / "tls"


def tls_files() -> TlsFiles:
    """The files with which this host is a client of etcd; not checked to be there."""
    directory = tls_directory()
    return TlsFiles(
        ca=directory / "ca.pem",
        certificate=directory / "client.pem",
        key=directory / "client.key",
        authority=settings.state_directory() / "ca",
    )


def prepare_state() -> None:
    """Create the state directories: the outer one 0711, since etcd's own user passes through it, those in it 0700."""
    outer = settings.state_directory()
    outer.mkdir(mode=0o711, parents=True, exist_ok=True)
    outer.chmod(0o711)
    for inner in (tls_directory(), outer / "identity"):
        inner.mkdir(mode=0o700, exist_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The host's own keys, made once and kept: each 32 bytes, base64."""

    wireguard_private: str
    wireguard_public: str
    seal_private: str
    seal_public: str

    @classmethod
    def load(cls) -> Self:
        """Return the keys of this host; the first call makes them, 0600 from the first byte."""
        directory = settings.state_directory() / "identity"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        wireguard, sealing = (_private_key(directory / name) for name in ("wireguard.key", "seal.key"))
        return cls(
            wireguard_private=wireguard,
            wireguard_public=seal.public_of(wireguard),
            seal_private=sealing,
            seal_public=seal.public_of(sealing),
        )

    def __repr__(self) -> str:
        return f"Identity(wireguard_public={self.wireguard_public!r}, seal_public={self.seal_public!r})"


def _private_key(path: Path) -> str:
    if not path.exists():
        private, _ = seal.new_pair()
        files.write_once(path, private + "\n", mode=files.SECRET)
    return path.read_text().strip()
