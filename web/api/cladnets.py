"""CLADNets and their hosts."""

from dataclasses import dataclass

from flask import Blueprint, Response, url_for

from cladnet import network_hosts, networks
from cladnet.model import ADDRESS_QUARANTINE_S, DatapathKind, Encryption, RuleType
from web import body
from web.context import store

blueprint = Blueprint("cladnets", __name__, url_prefix="/cladnets")


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


@blueprint.get("")
def list_all() -> Response:
    """Every CLADNet."""
    return body.answer({"cladnets": networks.list_all(store())})


@blueprint.post("")
def create() -> Response:
    """Create a CLADNet."""
    wish = body.read(CladnetWish)
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
    return body.created(specification, url_for(".show", cladnet=specification.id))


@blueprint.get("/<cladnet>")
def show(cladnet: str) -> Response:
    """One CLADNet, by id or name."""
    return body.answer(networks.find(store(), cladnet))


@blueprint.delete("/<cladnet>")
def delete(cladnet: str) -> Response:
    """Begin to delete a CLADNet; the controller empties it."""
    networks.delete(store(), cladnet)
    return body.done()


@blueprint.get("/<cladnet>/hosts")
def hosts(cladnet: str) -> Response:
    """The hosts of a CLADNet."""
    return body.answer({"hosts": network_hosts.views(store(), networks.find(store(), cladnet).id)})
