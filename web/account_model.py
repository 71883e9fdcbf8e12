"""What etcd holds of the console's accounts and their access tokens."""

from dataclasses import dataclass
from datetime import datetime

from cladnet.trust.kinds import signed_by_ca
from web.roles import AccountRole, Grant

USERS = "larva/user/"
ACCESS_TOKENS = "larva/access-token/"


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One account: `larva/user/{name}`."""

    name: str
    password_hash: str
    """argon2id, in the PHC string format."""
    password_set_at: datetime
    """A session that began under an older password is over."""
    role: AccountRole = AccountRole.ADMIN
    """Before there were roles, every account was an administrator's."""
    cladnets: tuple[str, ...] = ()
    """For a tenant: the ids of its CLADNets."""

    @property
    def grant(self) -> Grant:
        """What it may do."""
        return Grant(role=self.role, cladnets=self.cladnets)


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
