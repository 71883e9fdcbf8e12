# Enter the root tree $1 from mount and process namespaces of one's own. $2: "directory:name" pairs to share under /mnt.
set -eu
mount -t proc proc "$1/proc"
# A package's sysctl trigger must not reach this machine's kernel.
mount --bind "$1/proc/sys" "$1/proc/sys"
mount -o remount,bind,ro "$1/proc/sys"
mount -t sysfs -o ro sysfs "$1/sys"
mount -t tmpfs tmpfs "$1/run"
mount -t tmpfs tmpfs "$1/tmp"
mount -t tmpfs tmpfs "$1/mnt"
for pair in $2; do
    mkdir -p "$1/mnt/${pair##*:}"
    mount --bind "${pair%%:*}" "$1/mnt/${pair##*:}"
done
root=$1
shift 2
exec chroot "$root" "$@"
