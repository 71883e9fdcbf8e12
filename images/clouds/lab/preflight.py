"""What the lab needs of the machine it runs on, asked before anything is made."""

import shutil
import stat
import tempfile
from pathlib import Path

from images.clouds.lab import cgroup, qemu
from images.clouds.lab.topology import Role, Topology
from larva import process
from larva.errors import HostUnfit, InvalidInput, LarvaError, NotFound

PROGRAMS = ("ip", "mount", "nft", "nsenter", "pivot_root", "setsid", "umount", "unshare")
DEVICES = (Path("/dev/net/tun"), Path("/dev/fuse"))
HOST_BYTES = 256 * 2**20
"""What a host's own layer takes: logs, databases, what user-data brings."""
DISK_SHARE = 0.1
"""Part of a sparse disk that must be free; the rest fills only as data comes."""
MONITORS_SHARE = 0.05
"""Part of its file system that must be free, or a Ceph monitor stops (Ceph: `mon_data_avail_crit`)."""


def check(topology: Topology, tree: Path, data: Path) -> None:
    """Raise unless a lab of that topology can run from the tree with its data below `data`, which is made.

    Raises:
        HostUnfit: not root, a program, a device, overlayfs, cgroup2 or disk space is missing.
        NotFound: there is no such tree.
        InvalidInput: the tree holds no system that boots.
    """
    check_machine(topology, data)
    check_tree(tree)
    check_overlay(tree, data)


def check_machine(topology: Topology, data: Path) -> None:
    """Raise HostUnfit unless this machine can carry the topology; asked before the minutes that a tree may take."""
    process.require_root("the lab cloud")
    process.require_programs(*PROGRAMS)
    data.mkdir(parents=True, exist_ok=True)
    cgroup.hierarchy()
    for device in DEVICES:
        if not device.exists() or not stat.S_ISCHR(device.stat().st_mode):
            raise HostUnfit(
                f"there is no {device}",
                hint=f"load its module: modprobe {device.name}; in a container, pass the device in",
            )
    check_virtual(topology)
    disk = shutil.disk_usage(data)
    needed = needed_bytes(topology, disk.total)
    free = disk.free
    if free < needed:
        raise HostUnfit(
            f"the lab takes {needed >> 20} MiB of disk, and {free >> 20} MiB are free at {data}",
            hint="free some space, or point LARVA_CACHE to a larger disk",
        )


def check_virtual(topology: Topology) -> None:
    """Raise HostUnfit unless this machine can carry the topology's virtual machines beside what runs already."""
    if not topology.virtual:
        return
    process.require_programs(*qemu.PROGRAMS)
    needed = sum(host.memory_mib + qemu.OWN_MIB for host in topology.virtual)
    free = available_mib(Path("/proc/meminfo").read_text())
    if free < needed:
        raise HostUnfit(
            f"the virtual machines take {needed} MiB of memory, and {free} MiB are available",
            hint="end other programs, or give the hosts a smaller memory_mib in the topology",
        )


def available_mib(meminfo: str) -> int:
    """Return what programs may take, MiB, by the text of /proc/meminfo (proc(5))."""
    return next(int(line.split()[1]) >> 10 for line in meminfo.splitlines() if line.startswith("MemAvailable:"))


def needed_bytes(topology: Topology, file_system: int) -> int:
    """Return how many bytes must be free for a lab of that topology on a file system of that size, in bytes."""
    disks = sum(disk.size_bytes for host in topology.hosts for disk in host.disks)
    stores = any(Role.STORAGE in host.roles for host in topology.hosts)
    return len(topology.hosts) * HOST_BYTES + int(DISK_SHARE * disks + stores * MONITORS_SHARE * file_system)


def check_tree(tree: Path) -> None:
    """Raise unless the tree can be booted as a light machine."""
    if not tree.is_dir():
        raise NotFound(f"there is no image tree at {tree}", hint="build it with `larva image build`")
    if any(letter in str(tree) for letter in ",:\\\n"):
        raise InvalidInput(f"the path {str(tree)!r} cannot be mounted", hint="use a path without , : and \\")
    for program in ("usr/lib/systemd/systemd", "usr/bin/setpriv", "usr/bin/umount"):
        if not (tree / program).exists():
            raise InvalidInput(f"{tree} is no root tree of the image: it has no /{program}", hint="build it anew")


def check_overlay(tree: Path, data: Path) -> None:
    """Raise unless a layer below `data` can be mounted over the tree; a try in its own mount namespace shows."""
    with tempfile.TemporaryDirectory(dir=data, prefix=".try-") as directory:
        trial = Path(directory)
        for name in ("upper", "work", "root"):
            (trial / name).mkdir()
        options = f"index=off,lowerdir={tree},upperdir={trial}/upper,workdir={trial}/work"
        command = ["mount", "-t", "overlay", "-o", options, "overlay", str(trial / "root")]
        try:
            process.run(["unshare", "--mount", "--propagation", "private", *command], timeout=20)
        except LarvaError as error:
            raise HostUnfit(
                f"overlayfs does not work at {data}: {error.message}",
                hint="load its module: modprobe overlay; or point LARVA_CACHE to an ext4, XFS or btrfs file system",
            ) from error
