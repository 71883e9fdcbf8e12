"""Enrolment tokens: what a new VM's user-data needs."""

from dataclasses import dataclass

from flask import Blueprint, Response

from cladnet.model import Role
from web import body, join_material

blueprint = Blueprint("enrolment_tokens", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWish:
    """What a caller says of a token."""

    roles: tuple[Role, ...] = (Role.MEMBER,)
    ttl_s: int = 24 * 3600
    uses: int = 1


@blueprint.post("/cladnets/<cladnet>/enrolment-tokens")
def create(cladnet: str) -> Response:
    """Create a token; the answer holds the secret, this once, and ready user-data."""
    wish = body.read(TokenWish)
    return body.answer(join_material.make(cladnet, roles=wish.roles, ttl_s=wish.ttl_s, uses=wish.uses), 201)
