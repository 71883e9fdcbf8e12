"""`larva boot`: a VM with its join file founds or enrols, opens the ports of its roles and starts their units."""

import logging
from pathlib import Path

import click

from cladnet.enrol import joining
from cladnet.enrol.join_file import JoinFile
from cladnet.member import Identity, Member
from cladnet.model import Role
from larva import files, process, settings
from larva.errors import HostUnfit

log = logging.getLogger(__name__)

ETCD_UNIT = "larva-etcd.service"
UNITS = {
    Role.CONTROL: (ETCD_UNIT, "larva-controller.service", "larva-console.service", "larva-renew.timer"),
    Role.STORAGE: ("larva-agent.service", "larva-storage.service"),
    Role.MEMBER: ("larva-agent.service", "larva-storage.service"),
    Role.GATEWAY: ("larva-agent.service", "larva-storage.service"),
}
FIREWALL_UNIT = "larva-firewall.service"
FIREWALL_FILES = Path("/usr/share/larva/nftables")


def units_of(roles: tuple[Role, ...]) -> tuple[str, ...]:
    """Return the units that a host of these roles runs, each once."""
    return tuple(dict.fromkeys(unit for role in roles for unit in UNITS[role]))


def bring_up(wanted: JoinFile, *, patience_s: float = joining.PATIENCE_S, anew: bool = False) -> Member:
    """Make this host what its join file says and return its membership; may be called again at any time.

    Args:
        anew: ask the server also if this host is enrolled already: it may know it no more, or etcd be elsewhere now.
    """
    require_systemd()
    _open_firewall(wanted.roles)
    if wanted.join is None:
        from cladnet.control import founding  # with what it needs half a second of a small VM; most hosts join

        member = founding.found(wanted, start_etcd=_start_etcd)
    elif Role.CONTROL in wanted.roles:
        from cladnet.control import accession

        member = accession.accede(wanted, start_etcd=_start_etcd)
    else:
        member = joining.enrol(wanted, patience_s=patience_s, anew=anew)
    Identity.load()
    units = units_of(member.roles)
    _systemctl("enable", *units)
    _systemctl("start", "--no-block", *units)  # they may be ordered after the very unit that runs this
    return member


def require_systemd() -> None:
    """Raise HostUnfit on a machine whose services we cannot start."""
    if not Path("/run/systemd/system").is_dir():
        raise HostUnfit("systemd does not run here", hint="run this on a VM of the appliance, or with its package")


def stop_control() -> None:
    """Stop what uses the CA and etcd's data."""
    _systemctl("stop", *reversed(UNITS[Role.CONTROL]))


def restart_members() -> None:
    """Have the agents that run read anew where etcd is; tunnels and mounts outlive them."""
    _systemctl("try-restart", *UNITS[Role.MEMBER])


@click.command()
def boot() -> None:
    """Found or join the system that /etc/larva/join.toml names, and start this host's services."""
    process.require_root("booting a host of the system")
    member = bring_up(JoinFile.load())
    log.info("%s is up with the roles %s", member.host, ", ".join(member.roles))


def _start_etcd() -> None:
    _systemctl("enable", ETCD_UNIT)
    _systemctl("start", "--no-block", ETCD_UNIT)


def _open_firewall(roles: tuple[Role, ...]) -> None:
    changed = False
    for role in roles:
        source = FIREWALL_FILES / f"{role}.nft"
        if source.is_file():
            target = settings.config_directory() / "nftables.d" / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            changed |= files.write_if_changed(target, source.read_bytes())
    if changed:
        _systemctl("try-reload-or-restart", FIREWALL_UNIT)


def _systemctl(*arguments: str) -> None:
    process.run(["systemctl", *arguments], timeout=90)
