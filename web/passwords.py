"""Passwords of the console: how long they are, how they are hashed, and how one is checked."""

import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from larva.errors import InvalidInput, Unavailable

SHORTEST = 10
LONGEST = 1000
LONGEST_WAIT_S = 10.0
"""For the turn to have a password checked; each who waits holds one of the server's threads."""

_hasher = PasswordHasher()  # argon2id with the parameters of RFC 9106, low memory: 64 MiB, three passes
_NOBODYS = _hasher.hash(secrets.token_hex())  # verified for unknown names, so that they take as long as known ones
_at_once = threading.BoundedSemaphore(2)  # 64 MiB each: a flood of logins must not eat the host's memory


def check(password: str) -> None:
    """Raise InvalidInput for one that is too short to be safe or too long to be hashed."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInput(f"the password has {len(password)} characters", hint=f"use {SHORTEST} to {LONGEST}")


def hashed(password: str) -> str:
    """Return its hash: argon2id, in the PHC string format."""
    return _hasher.hash(password)


def verifies(password_hash: str | None, password: str) -> bool:
    """Whether this is the password of that hash.

    Args:
        password_hash: None where there is no account, which takes as long and is never the right one.

    Raises:
        Unavailable: too many wait for the same.
    """
    if not _at_once.acquire(timeout=LONGEST_WAIT_S):
        raise Unavailable("too many people log in at once", hint="try again in a moment")
    try:
        _hasher.verify(password_hash or _NOBODYS, password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    finally:
        _at_once.release()
    return password_hash is not None
