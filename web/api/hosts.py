"""Hosts: those of a CLADNet and how they reach each other, and those that hold a certificate."""

from cladnet import network_hosts, network_rules
from cladnet.enrol import departure, membership
from cladnet.model import Command, EnrolledHost
from cladnet.network_hosts import HostView
from cladnet.network_rules import HostRules
from web.api.routing import Listing, Routes
from web.context import shared, store
from web.roles import Right

routes = Routes("hosts")

BY_NAME = Listing(name="hosts", order=lambda view: (view.host,))


@routes.get("/cladnets/<cladnet>/hosts", listing=BY_NAME)
def list_all(group: str) -> tuple[HostView, ...]:
    """The hosts of a CLADNet."""
    return shared(network_hosts.views, group)


@routes.get("/cladnets/<cladnet>/hosts/<host>")
def show(group: str, host: str) -> HostView:
    """One host of a CLADNet."""
    return network_hosts.find(store(), group, host)


@routes.put("/cladnets/<cladnet>/hosts/<host>", Right.OPERATE)
def join(group: str, host: str) -> EnrolledHost:
    """Put an enrolled host into a further CLADNet; its agent joins by itself."""
    return membership.join_group(store(), host=host, group=group)


@routes.delete("/cladnets/<cladnet>/hosts/<host>", Right.OPERATE)
def leave(group: str, host: str) -> None:
    """Take a host out of a CLADNet; it stays enrolled."""
    membership.leave_group(store(), host=host, group=group)


@routes.post("/cladnets/<cladnet>/hosts/<host>/up", Right.OPERATE, status=202)
def up(group: str, host: str) -> HostView:
    """Have a host take its interface up again."""
    network_hosts.control(store(), group, host, Command.UP)
    return network_hosts.find(store(), group, host)


@routes.post("/cladnets/<cladnet>/hosts/<host>/down", Right.OPERATE, status=202)
def down(group: str, host: str) -> HostView:
    """Have a host take its interface down; it keeps its address."""
    network_hosts.control(store(), group, host, Command.DOWN)
    return network_hosts.find(store(), group, host)


@routes.get("/cladnets/<cladnet>/hosts/<host>/rules")
def rules(group: str, host: str) -> HostRules:
    """How a host reaches each other one: the endpoint that its agent takes, and why that one."""
    return network_rules.of_host(store(), group, host)


@routes.get("/hosts", listing=BY_NAME)
def enrolled() -> tuple[EnrolledHost, ...]:
    """The hosts that hold a certificate, of whatever CLADNet."""
    return membership.enrolled_hosts(store())


@routes.delete("/hosts/<host>", Right.OPERATE)
def forget(host: str) -> None:
    """Take a host out of the system and its CLADNets: its name is free again and its certificate useless.

    Whether the token that it was enrolled with would enrol others is told by `GET /v1/enrolment-tokens`.
    """
    departure.expel(store(), host)
