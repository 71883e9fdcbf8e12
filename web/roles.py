"""What accounts may do: a role each, and a table of what it allows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from larva.errors import InvalidInput, Refused


class AccountRole(StrEnum):
    """Who somebody is to the console."""

    ADMIN = "admin"
    """May do everything, accounts and the audit log included."""
    OPERATOR = "operator"
    """Runs networks, hosts and storage."""
    TENANT = "tenant"
    """Sees and uses what is of its own CLADNets: their hosts, volumes, snapshots and mounts."""
    VIEWER = "viewer"
    """Looks, and changes nothing but its own password and tokens."""


class Right(StrEnum):
    """What a route asks of its caller."""

    PUBLIC = "public"
    """Nothing: who has no login is to reach it."""
    OWN = "own"
    """To be somebody: it is about the caller's own account, answers each with what is theirs, or is for everybody."""
    READ = "read"
    USE = "use"
    """Volumes of a CLADNet: to make, share, mount and delete them."""
    OPERATE = "operate"
    ADMINISTER = "administer"


ALLOWED: Mapping[AccountRole, frozenset[Right]] = {
    AccountRole.ADMIN: frozenset(Right),
    AccountRole.OPERATOR: frozenset({Right.PUBLIC, Right.OWN, Right.READ, Right.USE, Right.OPERATE}),
    AccountRole.TENANT: frozenset({Right.PUBLIC, Right.OWN, Right.READ, Right.USE}),
    AccountRole.VIEWER: frozenset({Right.PUBLIC, Right.OWN, Right.READ}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role, and for a tenant the CLADNets (by id) that it holds in."""

    role: AccountRole
    cladnets: tuple[str, ...] = ()

    def sees(self, group: str) -> bool:
        """Whether a CLADNet is there for its bearer at all."""
        return self.role is not AccountRole.TENANT or group in self.cladnets

    def allows(self, right: Right, group: str | None = None) -> bool:
        """Whether its bearer may do this, in a CLADNet or, with None, where it is of no single one."""
        if right not in ALLOWED[self.role]:
            return False
        if right in (Right.PUBLIC, Right.OWN) or self.role is not AccountRole.TENANT:
            return True
        return group is not None and self.sees(group)


def check_grant(role: AccountRole, cladnets: Sequence[str]) -> None:
    """Raise InvalidInput for a tenant without a CLADNet, and for CLADNets of another role."""
    if (role is AccountRole.TENANT) != bool(cladnets):
        raise InvalidInput(
            f"{len(cladnets)} CLADNets are named for the role {role}",
            hint="name CLADNets for the role tenant, and for no other",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, by a session or by a token; with a token, no more than both its own grant and the account's allow."""

    name: str
    grants: tuple[Grant, ...]

    def may_anywhere(self, right: Right) -> bool:
        """Whether there is any CLADNet in which the caller may do this, or could be."""
        return all(right in ALLOWED[grant.role] for grant in self.grants)

    def sees(self, group: str) -> bool:
        """Whether a CLADNet is there for the caller."""
        return all(grant.sees(group) for grant in self.grants)

    def allows(self, right: Right, group: str | None = None) -> bool:
        """Whether the caller may do this."""
        return all(grant.allows(right, group) for grant in self.grants)

    def require(self, right: Right, group: str | None = None) -> None:
        """Raise Refused for who may not."""
        if not self.allows(right, group):
            roles = " and ".join(dict.fromkeys(grant.role.value for grant in self.grants))
            raise Refused(
                f"{self.name} is {roles} here and may not do this ({right})", hint="ask an administrator for it"
            )

    def require_whole(self) -> None:
        """Raise Refused for a token that allows less than its account: tokens that allow more are not its business."""
        if len(self.grants) > 1:
            raise Refused(
                "a token of a narrower role neither makes tokens nor revokes them",
                hint="log in, or use one without a role",
            )
