#!/bin/sh
# What a machine of the appliance must be able to do, tried from inside.
set -eu
larva --version
/usr/lib/larva/bin/python3 -I -c 'import cephfs, etcd3, flask, pyroute2, rados'
ip link add larva-check type wireguard
ip link delete larva-check
modprobe ceph
nft list chain inet larva input >/dev/null
test -c /dev/fuse
test -c /dev/net/tun
# The root file system has grown to the disk.
disk=$(blockdev --getsize64 "/dev/$(lsblk --noheadings --output PKNAME "$(findmnt --noheadings --output SOURCE /)")")
root=$(findmnt --noheadings --bytes --output SIZE /)
[ $((root * 10)) -gt $((disk * 8)) ] || {
    echo "the root file system has $root bytes of the disk's $disk" >&2
    exit 1
}
