"""Nothing in the tree that is one machine's own, the builder's, or lies there for anybody to change."""

from pathlib import Path
from typing import Any

import pytest

from larva import settings

pytestmark = pytest.mark.image

OWN = (
    "/etc/ssh/ssh_host_*", "/etc/nvme/host*", "/etc/hostname", "/var/lib/dbus/machine-id",
    "/var/lib/systemd/random-seed", "/var/lib/cloud/*", "/run/cloud-init/*", "/var/lib/larva/*", "/etc/larva/join.toml",
    "/root/.ssh/id_*", "/root/.ssh/authorized_keys", "/root/.*_history", "/home/*",
)  # fmt: skip
"""What a machine makes or is given when it is first booted."""
LEFTOVERS = (
    "/var/lib/apt/lists/*",
    "/var/cache/apt/*",
    "/var/cache/debconf/*-old",
    "/tmp/*",
    "/var/tmp/*",
    "/var/crash/*",
)
SETUID = {
    "/usr/bin/chage", "/usr/bin/chfn", "/usr/bin/chsh", "/usr/bin/expiry", "/usr/bin/gpasswd", "/usr/bin/mount",
    "/usr/bin/passwd", "/usr/bin/ssh-agent", "/usr/bin/su", "/usr/bin/sudo", "/usr/bin/umount",
    "/usr/lib/dbus-1.0/dbus-daemon-launch-helper", "/usr/lib/openssh/ssh-keysign", "/usr/sbin/unix_chkpwd",
}  # fmt: skip
"""Debian's own; whatever is new here has to be looked at."""
OURS = "/usr/lib/larva /usr/share/larva /usr/bin/larva /etc/larva /usr/lib/systemd/system/larva-* /boot/grub"
DISK = "find / -xdev -path /dev -prune -o"
"""Without what the machine below puts into a tree that is not booted."""


@pytest.mark.parametrize("pattern", OWN)
def test_tree_has_no_identity(host: Any, tree: None, pattern: str) -> None:
    assert host.run(f"ls -d {pattern}").stdout == ""


def test_machine_id_is_drawn_at_the_first_boot(host: Any) -> None:
    if host.backend.get_connection_type() == "chroot":
        assert host.file("/etc/machine-id").size == 0
    else:
        assert len(host.file("/etc/machine-id").content_string.strip()) == 32


@pytest.mark.parametrize("pattern", LEFTOVERS)
def test_tree_has_no_leftovers(host: Any, tree: None, pattern: str) -> None:
    assert host.run(f"ls -d {pattern}").stdout == ""


def test_tree_has_no_logs(host: Any, tree: None) -> None:
    assert host.check_output("find /var/log -type f -size +0") == ""


def test_tree_has_no_core_dumps(host: Any, tree: None) -> None:
    """Below /usr are packages' files, some of that name."""
    places = "find / -xdev \\( -path /usr -o -path /dev \\) -prune -o"
    found = host.check_output(f"{places} -type f \\( -name core -o -name 'core.[0-9]*' -o -name '*.core' \\) -print")
    assert found == ""


def test_what_we_make_names_no_place_of_the_builder(host: Any, tree: None) -> None:
    checkout = Path(__file__).parents[3]
    for place in (checkout, settings.cache_directory(), Path.home() / ".cache"):
        assert host.run(f"grep -rlF -e {place} {OURS}").stdout == ""


def test_only_debians_own_programs_become_somebody_else(host: Any) -> None:
    found = set(host.check_output(f"{DISK} -type f -perm /6000 -print").split())
    assert found <= SETUID
    packaged = {path for path in found if host.run(f"dpkg -S {path}").rc == 0}
    assert found == packaged


def test_nothing_can_be_written_by_everybody(host: Any) -> None:
    found = host.check_output(f"{DISK} ! -type l -perm -0002 ! \\( -type d -perm -1000 \\) -print").split("\n")
    assert [path for path in found if path] == []


def test_everything_belongs_to_somebody(host: Any) -> None:
    assert host.check_output(f"{DISK} \\( -nouser -o -nogroup \\) -print") == ""
