"""What cloud-init finds at the first boot: in a light machine's own layer, or on a virtual machine's seed disk."""

import json
import os
import shutil
from pathlib import Path, PurePath, PurePosixPath

from images.clouds.lab.topology import DISK_DIRECTORY, Cloud, Host
from larva import files, process

# The interface is configured from outside, as a provider's DHCP would, and must not be touched from inside.
_NETWORK_UNIT = "[Match]\nName=eth0\n\n[Link]\nUnmanaged=yes\n"
_CLOUD_CONFIG = "datasource_list: [NoCloud]\nnetwork: {config: disabled}\n"
_DISK_BYTES = 1 << 20
_SEED = "/var/lib/cloud/seed/nocloud"


def metadata(host: Host, cloud: Cloud, *, instance: str, authorized_keys: tuple[str, ...]) -> dict[str, object]:
    """Return NoCloud meta-data: what a provider's metadata service says about a VM.

    Args:
        instance: changes when the machine is made anew, so that cloud-init runs its first boot again.
    """
    return {
        "instance-id": instance,
        "local-hostname": host.name,
        "cloud-name": cloud.provider,
        "region": cloud.region,
        "availability-zone": cloud.zone,
        "local-ipv4": str(host.private),
        "public-ipv4": str(host.public),
        "public-keys": list(authorized_keys),
    }


def write(upper: Path, tree: Path, *, host: Host, metadata: dict[str, object], user_data: str) -> None:
    """Fill the upper directory of a machine that has not booted yet."""
    put = _Upper(upper, tree)
    # JSON is YAML, and needs no quoting rules of our own.
    put.file(f"{_SEED}/meta-data", json.dumps(metadata, indent=1) + "\n")
    put.file(f"{_SEED}/user-data", user_data, mode=files.SECRET)
    put.file("/etc/cloud/cloud.cfg.d/99-lab.cfg", _CLOUD_CONFIG)
    put.file("/etc/systemd/network/00-lab.network", _NETWORK_UNIT)
    put.file("/etc/hostname", f"{host.name}\n")
    put.file("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n::1 localhost ip6-localhost ip6-loopback\n")
    put.directory(DISK_DIRECTORY)


def write_disk(image: Path, **documents: str) -> None:
    """Write a NoCloud seed as a small FAT disk: ds-identify sees that, and a CD-ROM on AHCI too late.

    Args:
        documents: what the seed's files hold; `user_data` is the file `user-data`.
    """
    with image.open("xb") as disk:
        os.fchmod(disk.fileno(), files.SECRET)
        disk.truncate(_DISK_BYTES)
    process.run(["mkfs.vfat", "-n", "CIDATA", image], timeout=30)
    for name, content in documents.items():
        words: list[str | Path] = ["mcopy", "-i", image, "-", f"::{name.replace('_', '-')}"]
        process.run(words, input=content.encode(), timeout=30, secret=True)


class _Upper:
    """Writes into an overlay's upper directory; a directory that the tree has too keeps its mode and owner there."""

    def __init__(self, upper: Path, tree: Path) -> None:
        self.upper = upper
        self.tree = tree

    def directory(self, path: PurePath | str) -> Path:
        upper, lower = self.upper, self.tree
        for part in PurePosixPath(path).parts[1:]:
            upper, lower = upper / part, lower / part
            if upper.is_dir():
                continue
            upper.mkdir(mode=0o755)
            if lower.is_dir():
                shutil.copystat(lower, upper)
                found = lower.stat()
                os.chown(upper, found.st_uid, found.st_gid)
            elif part == "larva":
                upper.chmod(0o700)
        return upper

    def file(self, path: str, content: str, *, mode: int = files.PUBLIC) -> None:
        wanted = PurePosixPath(path)
        files.write_whole(self.directory(wanted.parent) / wanted.name, content, mode=mode)
