"""The lab's key pair: cloud-init gives it to the hosts' accounts, and ssh uses it to get in."""

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from images.clouds.lab import network
from images.clouds.lab.topology import Host
from larva import files

USER = "debian"
"""The account that cloud-init makes on Debian."""
_KEY = "ssh_key"


def make_key(directory: Path, *, comment: str) -> None:
    """Write a new key pair into a directory."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    files.write_whole(directory / _KEY, private, mode=files.SECRET)
    files.write_whole(directory / f"{_KEY}.pub", public + f" {comment}\n".encode())


def public_key(directory: Path) -> str:
    """Return the line for `authorized_keys`."""
    return (directory / f"{_KEY}.pub").read_text().strip()


def ssh_command(
    directory: Path, host: Host, namespace: str, *, user: str = USER, options: Sequence[str] = ()
) -> list[str]:
    """Return the command that opens a shell on a host, from within its own network: no cloud can be cut off from it.

    Args:
        options: of ssh(1); of two that say the same the first counts.
    """
    return [
        "nsenter", f"--net={network.path_of(namespace)}", "ssh", *options, "-i", str(directory / _KEY),
        "-o", f"UserKnownHostsFile={directory / 'known_hosts'}", "-o", f"HostKeyAlias={host.name}",
        "-o", "StrictHostKeyChecking=accept-new", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=10",
        "-o", "LogLevel=ERROR", f"{user}@{host.private}",
    ]  # fmt: skip
