"""What etcd holds of the console's accounts, their sessions and their access tokens."""

from dataclasses import dataclass
from datetime import datetime

from cladnet.trust.kinds import signed_by_ca
from web.roles import AccountRole, Grant

USERS = "larva/user/"
ACCESS_TOKENS = "larva/access-token/"
SESSIONS = "larva/session/"


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One account: `larva/user/{name}`."""

    name: str
    password_hash: str
    """argon2id, in the PHC string format."""
    password_set_at: datetime
    role: AccountRole = AccountRole.VIEWER
    """Whoever is said to be nothing more may look."""
    cladnets: tuple[str, ...] = ()
    """For a tenant: the ids of its CLADNets."""
    disabled: bool = False
    """Nobody logs in to it, and its tokens are refused, until somebody enables it."""

    @property
    def grant(self) -> Grant:
        """What it may do."""
        return Grant(role=self.role, cladnets=self.cladnets)


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser in which somebody is logged in: `larva/session/{user}/{sha256}`; the secret is the browser's alone."""

    account_revision: int
    """It counts as long as the account was not written since: its password, its role, whether it is disabled."""
    began_at: datetime
    address: str
    """Where it came from."""
    browser: str
    """What that says of itself."""


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """Lets a program act as its user: `larva/access-token/{sha256}`. The secret itself is kept nowhere."""

    user: str
    description: str
    created_at: datetime
    expires_at: datetime | None = None
    """None: it is good until somebody revokes it."""
    role: AccountRole | None = None
    """It allows no more than this role does, nor than its account may; None: as much as its account."""
    cladnets: tuple[str, ...] = ()
    """For the role tenant: the ids of its CLADNets."""
