"""`smb.conf`, rendered whole from the shares of a gateway: pure.

Other hosts write the same files through CephFS, of which Samba hears nothing. So nothing may be cached at a Windows
client (no oplocks, no leases), and locks are taken in the file system, where every cloud sees them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PORT = 445


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One volume as a gateway offers it."""

    name: str
    path: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]


def render(shares: Iterable[Share], *, state: Path, runtime: Path, port: int = PORT) -> str:
    """Return the whole file.

    Args:
        state: directory of the accounts and of Samba's own databases.
        runtime: directory of what needs not survive a reboot.
    """
    sections = {"global": _global(state, runtime, port)}
    for share in sorted(shares, key=lambda one: one.name):
        sections[share.name] = _share(share)
    return "# Written by larva; changes are lost.\n" + "".join(
        f"\n[{name}]\n" + "".join(f"    {key} = {value}\n" for key, value in options.items())
        for name, options in sections.items()
    )


def _global(state: Path, runtime: Path, port: int) -> Mapping[str, object]:
    return {
        "server role": "standalone server",
        "server string": "cb-storage",
        # SMB 3 with encryption: Windows 8 and Server 2012 speak it, and the way from a client is a foreign network.
        "server min protocol": "SMB3_00",
        "server smb encrypt": "required",
        "server signing": "mandatory",
        "ntlm auth": "ntlmv2-only",
        "restrict anonymous": 2,
        "map to guest": "never",
        "disable netbios": "yes",
        "smb ports": port,
        "passdb backend": f"tdbsam:{state}/passdb.tdb",
        "private dir": state,
        "state directory": state,
        "cache directory": state,
        "lock directory": runtime,
        "pid directory": runtime,
        "ncalrpc dir": f"{runtime}/ncalrpc",
        "usershare max shares": 0,
        "load printers": "no",
        "printcap name": "/dev/null",
        "disable spoolss": "yes",
        "logging": "file",
        "log file": "/dev/stdout",
        "log level": 1,
        "smb2 leases": "no",
        "deadtime": 0,
        "keepalive": 60,
    }


def _share(share: Share) -> Mapping[str, object]:
    return {
        "path": share.path,
        # Nobody gets into the bare directory while the volume is not there.
        "root preexec": f'mountpoint --quiet "{share.path}"',
        "root preexec close": "yes",
        "valid users": " ".join((*share.writers, *share.readers)),
        "read list": " ".join(share.readers),
        "write list": " ".join(share.writers),
        "read only": "yes",
        "guest ok": "no",
        "browseable": "yes",
        # A volume knows no users of this host: whoever is let in may do with it what the host may.
        "force user": "root",
        "force group": "root",
        "create mask": "0664",
        "directory mask": "0775",
        # A link that another host made on the volume must not lead out of it here.
        "follow symlinks": "no",
        "wide links": "no",
        "oplocks": "no",
        "level2 oplocks": "no",
        "kernel oplocks": "no",
        "strict locking": "yes",
        "posix locking": "yes",
        "strict sync": "yes",
        "store dos attributes": "no",
        "map archive": "no",
        "ea support": "no",
    }
