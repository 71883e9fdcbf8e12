"""The CLADNets that are there for who asks: every one, and for a tenant its own."""

from flask import g

from cladnet import networks
from cladnet.model import CladnetSpecification
from web.context import store
from web.roles import Caller


def cladnets() -> tuple[CladnetSpecification, ...]:
    """Return those that the caller sees."""
    caller: Caller = g.caller
    return tuple(each for each in networks.list_all(store()) if caller.sees(each.id))


def cladnet(id_or_name: str) -> CladnetSpecification:
    """Return one of them; NotFound without it, and no word on those of others."""
    return networks.among(cladnets(), id_or_name)
