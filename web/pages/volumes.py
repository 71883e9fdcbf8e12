"""The list of volumes; the pages of one, of a new one and of deleted ones belong to it."""

from flask import Blueprint, g, render_template

from cbstorage.wanted import volumes
from larva import codec
from web import visible
from web.api.volumes import shown
from web.context import store
from web.pages import new_volume, trash, volume
from web.roles import Right

blueprint = Blueprint("volumes", __name__)
for part in (new_volume, trash, volume):
    blueprint.register_blueprint(part.blueprint)


@blueprint.get("/volumes")
def list_all() -> str:
    """The volumes of every CLADNet that the caller sees."""
    cladnets = visible.cladnets()
    seen = {each.id for each in cladnets}
    return render_template(
        "volumes.html",
        data={
            "volumes": [codec.to_builtins(shown(view)) for view in volumes.list_all(store()) if view.group in seen],
            "cladnets": codec.to_builtins(cladnets),
        },
        uses=any(g.caller.allows(Right.USE, each) for each in (None, *seen)),
    )
