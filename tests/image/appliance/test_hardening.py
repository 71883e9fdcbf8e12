"""What keeps strangers out of a machine of the appliance: logins, the kernel's settings, the sandboxes of our units."""

import re
from typing import Any

import pytest

pytestmark = pytest.mark.image

KERNEL = {
    "kernel.kptr_restrict": "2", "kernel.dmesg_restrict": "1", "kernel.unprivileged_bpf_disabled": "1",
    "kernel.perf_event_paranoid": "3", "kernel.yama.ptrace_scope": "1", "kernel.core_pattern": "|/bin/false",
    "fs.suid_dumpable": "0", "fs.protected_symlinks": "1", "fs.protected_hardlinks": "1", "fs.protected_fifos": "2",
    "fs.protected_regular": "2", "net.core.bpf_jit_harden": "2",
}  # fmt: skip
INTERFACE = {
    "net.ipv4.conf.{}.accept_redirects": "0", "net.ipv4.conf.{}.secure_redirects": "0",
    "net.ipv4.conf.{}.send_redirects": "0", "net.ipv4.conf.{}.accept_source_route": "0",
    "net.ipv6.conf.{}.accept_redirects": "0",
}  # fmt: skip
PER_INTERFACE = {name.format(of): value for name, value in INTERFACE.items() for of in ("all", "default")}
UNITS = (
    "agent", "backup", "boot", "console", "controller", "etcd", "firewall", "renew", "smb",
)  # fmt: skip
MOST_EXPOSED = 30
"""In tenths, as `systemd-analyze security --threshold` takes it."""
SSH = {
    "passwordauthentication": "no", "kbdinteractiveauthentication": "no", "permitemptypasswords": "no",
    "permitrootlogin": "without-password", "x11forwarding": "no",
}  # fmt: skip

CONFINED = {"/usr/sbin/chronyd": "/etc/apparmor.d/usr.sbin.chronyd"}
"""Programs that run under a profile of AppArmor, and the profile's file."""


@pytest.fixture(scope="module")
def assigned(host: Any) -> dict[str, str]:
    """Every kernel setting of the tree as the last file that has it says."""
    text = host.check_output("/usr/lib/systemd/systemd-sysctl --cat-config")
    lines = [line.partition("=") for line in text.splitlines() if "=" in line and line[:1] not in "#;"]
    return {name.strip().lstrip("-").replace("/", "."): value.strip() for name, _, value in lines}


@pytest.mark.parametrize(("name", "value"), (KERNEL | PER_INTERFACE).items())
def test_kernel_setting_is_in_the_tree(assigned: dict[str, str], name: str, value: str) -> None:
    assert assigned[name] == value


@pytest.mark.parametrize(("name", "value"), (KERNEL | PER_INTERFACE).items())
def test_kernel_setting_is_in_force(host: Any, running: None, name: str, value: str) -> None:
    assert host.check_output(f"cat /proc/sys/{name.replace('.', '/')}") == value


def test_every_interface_has_them(host: Any, running: None) -> None:
    for interface in host.check_output("ls /proc/sys/net/ipv4/conf").split():
        for name, value in INTERFACE.items():
            assert host.check_output(f"cat /proc/sys/{name.replace('.', '/').format(interface)}") == value


@pytest.mark.parametrize("unit", UNITS)
def test_unit_is_not_much_exposed(host: Any, unit: str) -> None:
    file = f"/usr/lib/systemd/system/larva-{unit}.service"
    # systemd's own programs write there, and a tree is read-only while it is looked at.
    room = "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /tmp"
    words = f"systemd-analyze security --offline=true --threshold={MOST_EXPOSED} --no-pager {file}"
    assert host.run(f"unshare --mount sh -c '{room} && {words}'").rc == 0


def test_nobody_has_a_password(host: Any) -> None:
    rows = [line.split(":") for line in host.file("/etc/shadow").content_string.splitlines()]
    assert {"root"} <= {row[0] for row in rows}
    assert [row[0] for row in rows if row[1][:1] not in {"!", "*"}] == []


def test_no_terminal_logs_anybody_in(host: Any) -> None:
    units = (
        "getty@.service serial-getty@.service console-getty.service getty@tty1.service.d serial-getty@ttyS0.service.d"
    )
    places = " ".join(f"{where}/systemd/system/{unit}" for where in ("/usr/lib", "/etc") for unit in units.split())
    assert host.run(f"grep -rhE '^Exec.*(--autologin|-a |SULOGIN_FORCE)' {places}").stdout == ""


def test_ssh_takes_keys_only(host: Any, running: None) -> None:
    told = dict(line.split(" ", 1) for line in host.check_output("sshd -T").splitlines() if " " in line)
    assert {name: told[name] for name in SSH} == SSH


def test_nothing_comes_before_our_settings_of_ssh(host: Any, tree: None) -> None:
    """sshd takes the first word on each matter: that of the files in their order, before its main file's own."""
    main = host.file("/etc/ssh/sshd_config").content_string
    words = [line.split() for line in main.splitlines() if line.strip() and not line.startswith("#")]
    assert words[0] == ["Include", "/etc/ssh/sshd_config.d/*.conf"]
    assert host.check_output("ls /etc/ssh/sshd_config.d").split()[0] == "10-larva.conf"
    ours = host.file("/etc/ssh/sshd_config.d/10-larva.conf").content_string
    assert re.search("^PasswordAuthentication no$", ours, re.MULTILINE)
    assert re.search("^KbdInteractiveAuthentication no$", ours, re.MULTILINE)
    assert re.search("^PermitRootLogin prohibit-password$", ours, re.MULTILINE)


def test_no_directory_for_passwords_over_the_network(host: Any) -> None:
    """Nor does cloud-init switch passwords on again, unless user-data says so."""
    assert host.run("grep -rhE '^ssh_pwauth: *(true|yes|1)' /etc/cloud").stdout == ""


def test_apparmor_profiles_are_those_of_programs_that_are_here(host: Any) -> None:
    """What else a newer package brings is compiled at every first boot: the recipes say what is left out."""
    files = host.check_output("find /etc/apparmor.d -maxdepth 1 -type f -printf '%f\\n'").split()
    assert sorted(files) == sorted(path.rpartition("/")[2] for path in CONFINED.values())


@pytest.mark.parametrize(("program", "profile"), CONFINED.items())
def test_apparmor_profile_is_enforced_and_compiles(host: Any, program: str, profile: str) -> None:
    """With the includes and the features of the image, and without the kernel."""
    assert host.file(program).exists
    offline = "apparmor_parser --skip-kernel-load --skip-cache"
    assert host.check_output(f"{offline} --names {profile}") == program
    assert host.run(f"{offline} {profile}").rc == 0
    assert "complain" not in host.file(profile).content_string.partition("{")[0]
    assert not host.file(f"/etc/apparmor.d/disable/{profile.rpartition('/')[2]}").exists
    assert host.run("systemctl is-enabled apparmor.service").stdout.strip() == "enabled"


@pytest.mark.parametrize("program", CONFINED)
def test_apparmor_confines_the_running_program(host: Any, running: None, program: str) -> None:
    pids = host.check_output(f"pidof {program}").split()
    assert {host.check_output(f"cat /proc/{pid}/attr/apparmor/current") for pid in pids} == {f"{program} (enforce)"}


def test_apparmor_refused_nothing(host: Any, running: None) -> None:
    assert host.run("journalctl --boot --quiet --no-pager --grep 'apparmor=\"DENIED\"'").stdout == ""


def test_security_updates_come_by_themselves(host: Any) -> None:
    assert host.run("systemctl is-enabled larva-update.timer").stdout.strip() == "enabled"
    pins = host.file("/usr/share/larva/apt/security.pref").content_string
    assert "Pin: release l=Debian-Security\n" in pins


def test_a_kernel_goes_once_it_was_replaced(host: Any) -> None:
    """The one of the image was asked for by no name of its own, so that apt counts it among what can go."""
    rows = host.check_output("dpkg-query -W -f '${db:Status-Status} ${Package}\\n' 'linux-image-[0-9]*'").splitlines()
    kernels = [name for state, name in map(str.split, rows) if state == "installed"]
    states = host.file("/var/lib/apt/extended_states").content_string
    for kernel in kernels:
        assert f"Package: {kernel}\nArchitecture: amd64\nAuto-Installed: 1\n" in states
    assert kernels
