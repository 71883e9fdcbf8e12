"""How the storage cluster of a CLADNet is."""

from flask import Blueprint, Response

from cbstorage.wanted import cluster
from cbstorage.wanted.plain import plain
from cladnet import networks
from web import body
from web.context import store

blueprint = Blueprint("storage", __name__, url_prefix="/cladnets/<cladnet>")


@blueprint.get("/storage")
def show(cladnet: str) -> Response:
    """Health in words with remedies, capacity, rates, daemons; 404 where there is none."""
    return body.answer(plain(cluster.find(store(), networks.find(store(), cladnet).id)))
