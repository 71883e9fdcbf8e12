"""Enrolment tokens: what a new VM's user-data needs."""

from dataclasses import dataclass

from cladnet.enrol import enrolment
from cladnet.enrol.enrolment import TokenView
from cladnet.model import Role
from web import join_material
from web.api.routing import Listing, Routes
from web.context import store
from web.join_material import JoinMaterial
from web.roles import Right

routes = Routes("enrolment_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWish:
    """What a caller says of a token."""

    roles: tuple[Role, ...] = (Role.MEMBER,)
    ttl_s: int = 24 * 3600
    uses: int = 1


@routes.post("/cladnets/<cladnet>/enrolment-tokens", Right.OPERATE, status=201, secret=True)
def create(group: str, wish: TokenWish) -> JoinMaterial:
    """Create a token; the answer holds the secret, this once, and ready user-data."""
    return join_material.make(group, roles=wish.roles, ttl_s=wish.ttl_s, uses=wish.uses)


@routes.get("/enrolment-tokens", Right.OPERATE, listing=Listing(name="tokens", order=lambda token: (token.id,)))
def list_all() -> tuple[TokenView, ...]:
    """The tokens that can be used, and those that expired within a day."""
    return enrolment.tokens(store())


@routes.delete("/enrolment-tokens/<token>", Right.OPERATE)
def revoke(token: str) -> None:
    """Make the token whose id begins so useless; hosts that it enrolled stay."""
    enrolment.revoke_token(store(), token)
