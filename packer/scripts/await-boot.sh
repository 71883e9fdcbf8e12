#!/bin/sh
# Wait until cloud-init and systemd have done all that belongs to booting.
set -eu
cut -d ' ' -f 1 /proc/uptime | sed 's/^/larva: seconds until ssh: /'
cloud-init status --wait --long
systemctl is-system-running --wait || {
    systemctl --failed --no-legend --plain
    exit 1
}
systemd-analyze time | sed 's/^/larva: /'
