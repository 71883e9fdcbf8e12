"""The container of a light machine: what unshare(1), mount(8) and pivot_root(8) do before systemd becomes process 1.

Three small scripts follow one another: `SUPERVISE` plugs the machine in and starts it, again after a reboot; `ENTER`
moves process 1 into the machine's cgroup before the cgroup namespace is made, so that it sees itself at the root;
`ASSEMBLE` builds its root and hands over to systemd.
"""

from pathlib import Path

from images.clouds.lab.network import Cable

UNIT = "multi-user.target"

MASKED = (
    # The clock, the disks, the kernel and the terminal belong to the machine below; its network is set from outside,
    # and what its archives have is a matter of the day.
    "apt-daily.timer", "apt-daily-upgrade.timer", "blk-availability.service", "chrony.service", "console-getty.service",
    "dev-hugepages.mount", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
    "getty@tty1.service", "kmod-static-nodes.service", "larva-update.timer", "ldconfig.service", "lvm2-lvmpolld.socket",
    "lvm2-monitor.service",     "nvmefc-boot-connections.service", "nvmf-autoconnect.service", "rbdmap.service",
    "smartmontools.service",
    "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-binfmt.service",
    "systemd-growfs-root.service", "systemd-modules-load.service", "systemd-networkd-wait-online.service",
    "systemd-pstore.service", "systemd-remount-fs.service", "systemd-timesyncd.service", "systemd-udevd.service",
    "systemd-udev-settle.service", "systemd-udev-trigger.service", "systemd-vconsole-setup.service",
    "xfs_scrub_all.timer",
)  # fmt: skip
"""Units of the image that make no sense in a light machine; they are masked on systemd's command line, not on disk."""

SUPERVISE = """
set -u
unplug() {
    ip -netns "$GATEWAY" link delete "$PORT" 2>/dev/null
    ip netns delete "$NAMESPACE" 2>/dev/null || rm -f "/run/netns/$NAMESPACE"
}
plug() {
    ip netns add "$NAMESPACE" &&
    ip -netns "$GATEWAY" -batch "$PORT_FILE" &&
    ip -netns "$NAMESPACE" -batch "$ADDRESS_FILE"
}
while :; do
    unplug
    plug || exit 1
    code=0
    nsenter --net="/run/netns/$NAMESPACE" \\
        unshare --mount --pid --uts --ipc --fork --propagation private /bin/sh -euc "$ENTER" || code=$?
    unplug
    test $code = 129 || exit $code
done
"""
"""A reboot ends process 1 of a process-id namespace with SIGHUP (reboot(2), namespaces), which a shell tells as 129.

The network namespace is new at every start, as a VM's kernel is: no interface, rule or socket survives.
"""

ENTER = """
echo 0 >"$PAYLOAD/cgroup.procs"
exec unshare --cgroup /bin/sh -euc "$ASSEMBLE"
"""

ASSEMBLE = """
umask 022
mount -t overlay -o "index=off,lowerdir=$TREE,upperdir=$BASE/upper,workdir=$BASE/work" overlay "$BASE/root"
cd "$BASE/root"
mount --bind "$BASE/disks" ./$DISKS
mount -t proc -o nosuid,nodev,noexec proc proc
for path in sys sysrq-trigger; do
    test -e proc/$path || continue
    mount --bind proc/$path proc/$path
    mount -o remount,bind,ro,nosuid,nodev,noexec proc/$path
done
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,rw,nosuid,nodev,noexec proc/sys/net
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid,nodev,size=20% tmpfs run
mount -t tmpfs -o mode=1777,nosuid,nodev,size=20% tmpfs tmp
mount -t tmpfs -o mode=755,nosuid,noexec,size=1m tmpfs dev
mkdir dev/net dev/pts dev/shm
for path in null zero full random urandom tty fuse net/tun; do
    : >dev/$path
    mount --bind /dev/$path dev/$path
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5,nosuid,noexec devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev,size=20% tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
pivot_root . .
umount -l .
exec env -i container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set=-sys_time,-sys_module /lib/systemd/systemd systemd.unit=$UNIT $MASKS
"""


def environment(*, tree: Path, base: Path, payload: Path, disks: Path, cable: Cable) -> dict[str, str]:
    """Return what the scripts read.

    Args:
        tree: the image's root tree, read only.
        base: the machine's own directory with `upper`, `work`, `root` and `disks`.
        payload: the cgroup that becomes the machine's root cgroup.
        disks: where the machine finds its disks.
        cable: how it is plugged in.
    """
    return {
        "TREE": str(tree), "BASE": str(base), "PAYLOAD": str(payload), "DISKS": str(disks).lstrip("/"), "UNIT": UNIT,
        "MASKS": " ".join(f"systemd.mask={unit}" for unit in MASKED), "ENTER": ENTER, "ASSEMBLE": ASSEMBLE,
        "NAMESPACE": cable.namespace, "GATEWAY": cable.gateway, "PORT": cable.port,
        "PORT_FILE": str(cable.port_file), "ADDRESS_FILE": str(cable.address_file),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }  # fmt: skip
