"""What the hosts of a CLADNet measure all the time, and the alarms that they raise."""

from flask import Blueprint, Response, request

from cladnet import networks, paths
from cladnet.quality import Window
from larva.errors import InvalidInput
from web import body
from web.context import store

blueprint = Blueprint("paths", __name__, url_prefix="/cladnets/<cladnet>")


@blueprint.get("/alarms")
def alarms(cladnet: str) -> Response:
    """The paths that are bad now: each by itself, and put together for people."""
    return body.answer(paths.alarms(store(), networks.find(store(), cladnet).id))


@blueprint.get("/quality")
def quality(cladnet: str) -> Response:
    """Every path over a window: `?window=10m`."""
    name = request.args.get("window", Window.TEN_MINUTES.value)
    if name not in list(Window):
        raise InvalidInput(f"there is no window {name[:20]!r}", hint=f"choose one of {', '.join(Window)}")
    return body.answer({"paths": paths.views(store(), networks.find(store(), cladnet).id, Window(name))})
