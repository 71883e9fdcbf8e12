"""CLADNets: their life, and the range that the next one should have."""

from dataclasses import dataclass

from flask import g, url_for

from cladnet import keys, networks
from cladnet.free_ranges import Recommendation
from cladnet.model import ADDRESS_QUARANTINE_S, CladnetSpecification, DatapathKind, Encryption, RuleType
from larva.errors import InvalidInput
from web.api.routing import Created, Listing, Routes
from web.context import store
from web.roles import Right

routes = Routes("cladnets")


@dataclass(frozen=True, slots=True, kw_only=True)
class CladnetWish:
    """What a caller says of a CLADNet to be created."""

    name: str
    cidr: str | None = None
    ipv6: str | None = None
    """A private /64, or "auto"."""
    description: str = ""
    rule_type: RuleType = RuleType.COST_PRIORITIZED
    datapath: DatapathKind = DatapathKind.AUTO
    encryption: Encryption = Encryption.ON
    address_quarantine_s: float = ADDRESS_QUARANTINE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class CladnetChange:
    """What is to be changed of a CLADNet; what is None stays."""

    name: str | None = None
    cidr: str | None = None
    """A range that contains the present one."""
    ipv6: str | None = None
    """A private /64, "auto" or "off"."""
    description: str | None = None
    rule_type: RuleType | None = None
    datapath: DatapathKind | None = None
    encryption: Encryption | None = None
    address_quarantine_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeQuery:
    """How many hosts a CLADNet should hold."""

    hosts: int | None = None


def _age(specification: CladnetSpecification) -> tuple[str, ...]:
    return specification.created_at.isoformat(), specification.id


@routes.get("/cladnets", Right.OWN, listing=Listing(name="cladnets", order=_age))
def list_all() -> tuple[CladnetSpecification, ...]:
    """Every CLADNet, oldest first; a tenant's own."""
    return tuple(each for each in networks.list_all(store()) if g.caller.sees(each.id))


@routes.post("/cladnets", Right.OPERATE, status=201)
def create(wish: CladnetWish) -> Created[CladnetSpecification]:
    """Create a CLADNet."""
    specification = networks.create(
        store(),
        name=wish.name,
        cidr=wish.cidr or None,
        ipv6=wish.ipv6 or None,
        description=wish.description,
        rule_type=wish.rule_type,
        datapath=wish.datapath,
        encryption=wish.encryption,
        quarantine_s=wish.address_quarantine_s,
    )
    return Created(specification, url_for(".show", cladnet=specification.id))


@routes.get("/cladnets/<cladnet>", resource=keys.configuration)
def show(group: str) -> CladnetSpecification:
    """One CLADNet, by id or name."""
    return networks.find(store(), group)


@routes.patch("/cladnets/<cladnet>", Right.OPERATE, resource=keys.configuration)
def update(group: str, wish: CladnetChange) -> CladnetSpecification:
    """Change a CLADNet while traffic flows."""
    if wish == CladnetChange():
        raise InvalidInput("nothing to change", hint="name what is to be otherwise")
    return networks.update(
        store(),
        group,
        name=wish.name,
        cidr=wish.cidr,
        ipv6=wish.ipv6,
        description=wish.description,
        rule_type=wish.rule_type,
        datapath=wish.datapath,
        encryption=wish.encryption,
        quarantine_s=wish.address_quarantine_s,
    )


@routes.delete("/cladnets/<cladnet>", Right.OPERATE, resource=keys.configuration)
def delete(group: str) -> None:
    """Begin to delete a CLADNet; the controller empties it."""
    networks.delete(store(), group)


@routes.get("/recommended-range")
def recommend(query: RangeQuery) -> Recommendation:
    """A range for a new CLADNet, and what it keeps away from."""
    return networks.recommend(store(), hosts=query.hosts)
