"""Every host, and one host."""

from flask import Blueprint, Response

from cladnet import network_hosts
from web import host_page, visible
from web.context import shared, store
from web.pages import answering

blueprint = Blueprint("hosts", __name__)


@blueprint.get("/hosts")
def list_all() -> Response:
    """The hosts of every CLADNet."""
    found = [
        {"cladnet": each.id, "name": each.name, "host": host}
        for each in visible.cladnets()
        for host in shared(network_hosts.views, each.id)
    ]
    return answering.page("hosts.html", {"hosts": found})


@blueprint.get("/hosts/<cladnet>/<host>")
def show(cladnet: str, host: str) -> Response:
    """One host of a CLADNet."""
    specification = visible.cladnet(cladnet)
    facts = host_page.read(store(), specification, host)
    return answering.page("host.html", {"cladnet": specification, "facts": facts}, cladnet=specification, name=host)
