"""What to type on a machine outside to mount a volume: a command, a line of fstab, a unit of systemd. Pure."""

import re
from dataclasses import dataclass

from cbstorage.ceph.conf import MON_PORT
from cbstorage.model import FILE_SYSTEM
from cbstorage.wanted.connections import Ticket

DIRECTORY = "/etc/ceph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Everything to copy."""

    secret_file: str
    commands: str
    """For root's shell; they contain the key, and leave it in no list of processes."""
    fuse_commands: str
    """The same with ceph-fuse, where the kernel has no client."""
    fstab: str
    unit_name: str
    unit: str


def words(ticket: Ticket, path: str) -> Words:
    """Return what to copy.

    Args:
        path: where to mount, as `mount_point.check` returns it.
    """
    user = ticket.identity.entity.removeprefix("client.")
    stem = f"{DIRECTORY}/larva-{ticket.volume}"
    secret, keyring = f"{stem}.secret", f"{stem}.keyring"
    source = f"{user}@{ticket.fsid}.{FILE_SYSTEM}={ticket.source}"
    options = [
        "mon_addr=" + "/".join(f"{address}:{MON_PORT}" for address in ticket.monitors), f"secretfile={secret}",
        "ms_mode=prefer-crc", "recover_session=clean", *(["ro"] if ticket.read_only else []),
    ]  # fmt: skip
    monitors = ",".join(f"[v2:{address}:{MON_PORT}]" for address in ticket.monitors)
    read_only = " -o ro" if ticket.read_only else ""
    return Words(
        secret_file=secret,
        commands=(
            f"mkdir -p {DIRECTORY} '{path}'\n"
            f"(umask 077; cat >{secret}) <<'END'\n{ticket.identity.key}\nEND\n"
            f"mount -t ceph '{source}' '{path}' -o {','.join(options)}\n"
        ),
        fuse_commands=(
            f"mkdir -p {DIRECTORY} '{path}'\n"
            f"(umask 077; cat >{keyring}) <<'END'\n[{ticket.identity.entity}]\n\tkey = {ticket.identity.key}\nEND\n"
            f"ceph-fuse --conf /dev/null --fsid {ticket.fsid} --mon_host '{monitors}' --name {ticket.identity.entity} "
            f"--keyring {keyring} --client_fs {FILE_SYSTEM} -r {ticket.source}{read_only} '{path}'\n"
        ),
        fstab=f"{source} {_fstab(path)} ceph {','.join([*options, '_netdev', 'nofail'])} 0 0\n",
        unit_name=f"{unit_stem(path)}.mount",
        unit=(
            f"[Unit]\nDescription=Volume {ticket.volume}\nAfter=network-online.target\nWants=network-online.target\n\n"
            f"[Mount]\nWhat={source}\nWhere={path}\nType=ceph\nOptions={','.join(options)}\nTimeoutSec=60\n\n"
            "[Install]\nWantedBy=remote-fs.target\n"
        ),
    )


def unit_stem(path: str) -> str:
    """A path as the name of its mount unit (systemd.unit(5), string escaping for inclusion in unit names)."""
    parts = path.strip("/").split("/")
    return "-".join(re.sub(r"[^A-Za-z0-9:_.]", _escaped, part) for part in parts)


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode())


def _fstab(path: str) -> str:
    """fstab(5) writes a space as octal."""
    return path.replace(" ", "\\040")
