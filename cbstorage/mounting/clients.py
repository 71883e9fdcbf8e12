"""How a volume is mounted: drivers behind one protocol, ceph-fuse everywhere and the kernel's client where it is."""

import logging
import shutil
import time
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from cbstorage.ceph import cephx
from cbstorage.ceph.conf import MON_PORT
from cbstorage.host import systemd
from cbstorage.model import FILE_SYSTEM
from larva import files, process
from larva.errors import HostUnfit, LarvaError, ProgramFailed, TimedOut

log = logging.getLogger(__name__)

MOUNT_S = 30
UNMOUNT_S = 20
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Everything a driver needs to mount one volume."""

    unit: str
    """A name that is unique on the host."""
    identity: cephx.Identity
    fsid: str
    monitors: tuple[IPv4Address, ...]
    source: str
    """The volume's directory in the file system."""
    path: Path
    configuration: Path
    keyring: Path
    read_only: bool = False
    location: str = ""
    """Where this host is, as `crush_location` has it; empty where nobody knows."""


class Client(Protocol):
    """One way to mount."""

    name: str

    def available(self) -> bool:
        """Whether this host can mount this way."""

    def mount(self, mount: Mount) -> None:
        """Mount; ProgramFailed or TimedOut with the client's words otherwise."""


class KernelClient:
    """The kernel's; faster, no process to lose, and it comes back by itself after having been shut out."""

    name = "kernel"

    def available(self) -> bool:
        """Whether the kernel has it or can load it."""
        if shutil.which("mount.ceph") is None:
            return False
        if _kernel_knows():
            return True
        if shutil.which("modprobe"):
            process.run(["modprobe", "--quiet", "ceph"], timeout=20, ok_codes=(0, 1))
        return _kernel_knows()

    def mount(self, mount: Mount) -> None:
        """Mount with an explicit ms_mode: the kernel's own default is msgr1, which our monitors do not speak."""
        secret = mount.keyring.with_suffix(".secret")
        files.write_if_changed(secret, mount.identity.key + "\n", mode=files.SECRET)
        process.run(kernel_command(mount, secret), timeout=MOUNT_S + 10)


class FuseClient:
    """ceph-fuse as a unit of its own, so that it outlives our agent."""

    name = "ceph-fuse"

    def available(self) -> bool:
        """Whether the program and the device are here."""
        return shutil.which("ceph-fuse") is not None and Path("/dev/fuse").exists()

    def mount(self, mount: Mount) -> None:
        """Start it and wait until the kernel shows the mount; a path that `mount_point.check` took needs no escape."""
        systemd.stop(mount.unit)
        systemd.run_as_unit(
            mount.unit,
            fuse_command(mount),
            properties=[
                f"Description=Volume at {mount.path}",
                "KillMode=mixed",
                "TimeoutStopSec=10",
                f'ExecStopPost=-/bin/umount --lazy "{mount.path}"',
            ],
        )
        deadline = time.monotonic() + MOUNT_S
        while mounted_at(mount.path) is None:
            if systemd.state(mount.unit) not in ("active", "activating"):
                raise ProgramFailed(f"ceph-fuse: {systemd.last_words(mount.unit) or 'ended without a word'}")
            if time.monotonic() > deadline:
                words = systemd.last_words(mount.unit)
                systemd.stop(mount.unit)
                raise TimedOut(f"ceph-fuse did not mount within {MOUNT_S} s: {words}")
            time.sleep(_POLL_S)


def kernel_command(mount: Mount, secret: Path) -> list[str | Path]:
    """What mounts with the kernel's client (mount.ceph(8)); `secret` is the file with the key.

    After having been shut out it forgets what was not written yet and goes on (`recover_session=clean`). It is a client
    of its own (`noshare`): a new mount must not come to the client of one that was given up. It reads the nearest copy,
    and does not try by a write whether it may write (`nopoolperm`), as `cbstorage.ceph.conf` has it for ceph-fuse.
    """
    monitors = "/".join(f"{address}:{MON_PORT}" for address in mount.monitors)
    options = [
        f"mon_addr={monitors}", f"secretfile={secret}", "ms_mode=prefer-crc", "recover_session=clean",
        f"mount_timeout={MOUNT_S}", "noshare", "nopoolperm", *_nearest(mount.location),
        *(["ro"] if mount.read_only else []),
    ]  # fmt: skip
    user = mount.identity.entity.removeprefix("client.")
    source = f"{user}@{mount.fsid}.{FILE_SYSTEM}={mount.source}"
    return ["mount", "-t", "ceph", source, mount.path, "-o", ",".join(options)]


def _nearest(location: str) -> list[str]:
    """The kernel's words for `root=default zone=… host=…` (rbd(8), whose options of libceph are the same)."""
    if not location:
        return []
    return ["read_from_replica=localize", "crush_location=" + "|".join(location.replace("=", ":").split())]


def fuse_command(mount: Mount) -> list[str | Path]:
    """What mounts with ceph-fuse (ceph-fuse(8)) and stays while it does."""
    return [
        "ceph-fuse", "-f", "--conf", mount.configuration, "--name", mount.identity.entity, "--keyring", mount.keyring,
        "--client_fs", FILE_SYSTEM, "--localize-reads", "-r", mount.source,
        *(["-o", "ro"] if mount.read_only else []), mount.path,
    ]  # fmt: skip


CLIENTS: tuple[Client, ...] = (KernelClient(), FuseClient())
"""In the order in which they are preferred."""


def mount(wanted: Mount) -> str:
    """Mount with the first client that can, and return its name.

    Raises:
        HostUnfit: this host has none.
        ProgramFailed, TimedOut: the last one's words.
    """
    usable = [client for client in CLIENTS if client.available()]
    if not usable:
        raise HostUnfit("this host can mount no volume", hint="ceph-fuse and /dev/fuse are missing")
    for client in usable[:-1]:
        try:
            client.mount(wanted)
        except LarvaError as error:
            log.warning("%s could not mount, trying the next client: %s", client.name, error.message)
        else:
            return client.name
    usable[-1].mount(wanted)
    return usable[-1].name


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """What the kernel's table says is mounted somewhere."""

    kind: str
    """The file system's type, as ext4."""
    source: str

    @property
    def is_volume(self) -> bool:
        """Whether it is CephFS, of whichever client."""
        return self.kind == "ceph" or self.kind.startswith("fuse.ceph")

    @property
    def client(self) -> str:
        """The driver behind it, for a volume."""
        return "kernel" if self.kind == "ceph" else "ceph-fuse"


def mounted_at(path: Path) -> Mounted | None:
    """What is mounted at exactly this path, the topmost one; None without any.

    It reads the kernel's table and never touches the mount, which might not answer.
    """
    found = None
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        if _unescaped(fields[4]) == str(path):
            kind, source = fields[fields.index("-") + 1 :][:2]
            found = Mounted(kind=kind, source=_unescaped(source))
    return found


def is_ours(mounted: Mounted, *, unit: str, source: str) -> bool:
    """Whether a mounted volume is the one that `unit` (ceph-fuse) or `source` (the kernel's client) stands for."""
    if mounted.kind == "ceph":
        return mounted.source.endswith(f"={source}")
    return mounted.is_volume and systemd.state(unit) not in ("inactive", "failed")


def unmount(unit: str, path: Path, *, source: str, dead: bool = False) -> None:
    """Take a volume away, whatever state it is in: at once for new users, in the background for those inside.

    What else is mounted at the path stays: the host's own file system, or another volume.

    Args:
        dead: do not wait for the cluster, also not in the background: what was not written is lost.
    """
    mounted = mounted_at(path)
    ours = mounted is not None and is_ours(mounted, unit=unit, source=source)
    systemd.stop(unit)
    if ours:
        take_away(path, dead=dead)


def take_away(path: Path, *, dead: bool = False) -> None:
    """Unmount a volume that is still mounted here; whoever waits for a `dead` one gets an error."""
    mounted = mounted_at(path)
    if mounted is not None and mounted.is_volume:
        # ceph-fuse is dead once its process is; the kernel's client would wait on in the background.
        force = ["--force"] if dead and mounted.kind == "ceph" else []
        process.run(["umount", *force, "--lazy", path], timeout=UNMOUNT_S, ok_codes=(0, 32))


def _kernel_knows() -> bool:
    return any(line.split()[-1:] == ["ceph"] for line in Path("/proc/filesystems").read_text().splitlines())


def _unescaped(text: str) -> str:
    """proc(5) writes space, tab, newline and backslash as octal."""
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, letter)
    return text
