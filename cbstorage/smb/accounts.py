"""The accounts of a gateway: one of Unix without a shell and one of Samba for each user that is let in."""

import grp
import pwd
from collections.abc import Collection
from pathlib import Path

from larva import process
from larva.errors import Conflict, HostUnfit

GROUP = "larva-smb"
"""Whoever is in it was made here; an account that is not is never touched."""
QUICK_S = 30


def ours() -> frozenset[str]:
    """The users that have been made here."""
    try:
        number = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return frozenset()
    return frozenset(one.pw_name for one in pwd.getpwall() if one.pw_gid == number)


def ensure(user: str, password: str, *, configuration: Path) -> None:
    """Make an account, or give it this password.

    Raises:
        Conflict: the host has an account of that name of its own.
        HostUnfit: Samba is not installed.
    """
    process.require_programs("smbpasswd", "useradd")
    if user not in ours():
        if _exists(user):
            raise Conflict(f"this host has an account {user} of its own", hint="choose another user name")
        process.run(["groupadd", "--system", "--force", GROUP], timeout=QUICK_S)
        process.run(
            ["useradd", "--system", "--gid", GROUP, "--no-create-home", "--home-dir", "/nonexistent",
             "--shell", "/usr/sbin/nologin", "--comment", "SMB only", user],
            timeout=QUICK_S,
        )  # fmt: skip
    process.run(
        ["smbpasswd", "-c", configuration, "-s", "-a", user],
        input=f"{password}\n{password}\n".encode(),
        timeout=QUICK_S,
        secret=True,
    )


def known_to_samba(configuration: Path) -> frozenset[str]:
    """The users that Samba lets in."""
    listed = process.run(["pdbedit", "--configfile", configuration, "--list"], timeout=QUICK_S)
    return frozenset(line.partition(":")[0] for line in listed.splitlines() if ":" in line)


def remove(user: str, *, configuration: Path) -> None:
    """Let a user in no more; one that is gone is no error."""
    if user in known_to_samba(configuration):
        process.run(["pdbedit", "--configfile", configuration, "--delete", "--user", user], timeout=QUICK_S)
    if user in ours():
        process.run(["userdel", user], timeout=QUICK_S, ok_codes=(0, 6))


def keep_only(users: Collection[str], *, configuration: Path) -> None:
    """Remove every account made here that is not in `users`."""
    for user in sorted((ours() | known_to_samba(configuration)) - set(users)):
        remove(user, configuration=configuration)


def require_samba() -> None:
    """Raise HostUnfit where Samba is not installed."""
    try:
        process.require_programs("smbd", "smbpasswd", "pdbedit", "smbcontrol")
    except HostUnfit as error:
        raise HostUnfit(
            "Samba is not installed here", hint="gateways need the image's profile `full`, or `apt install samba`"
        ) from error


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
