"""The list of volumes, and one volume with its mounts."""

from flask import Blueprint, g, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from cbstorage.wanted import mounting, sizes, volumes
from cbstorage.wanted.volumes import VolumeView
from cladnet import network_hosts
from larva import codec
from larva.errors import InvalidInput, LarvaError
from web import visible
from web.api.volumes import shown
from web.context import store
from web.pages import forms, new_volume
from web.problems import Problem, problem_of
from web.roles import Right
from web.text import text

blueprint = Blueprint("volumes", __name__)
blueprint.register_blueprint(new_volume.blueprint)


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


@blueprint.get("/volumes/<cladnet>/<name>")
def show(cladnet: str, name: str) -> str:
    """One volume."""
    return _show(_find(cladnet, name))


@blueprint.post("/volumes/<cladnet>/<name>/mount")
def mount(cladnet: str, name: str) -> AnyResponse | tuple[str, int]:
    """Mount the volume on the hosts that were ticked."""
    view = _find(cladnet, name)
    hosts, path = request.form.getlist("hosts"), forms.field("path")
    try:
        mounting.mount(store(), view.group, view.name, hosts, path)
    except LarvaError as error:
        problem = problem_of(error)
        return _show(view, typed={"hosts": hosts, "path": path}, mount_problem=problem), problem.status
    return redirect(f"/volumes/{view.group}/{view.name}", 303)


@blueprint.post("/volumes/<cladnet>/<name>/delete")
def delete(cladnet: str, name: str) -> AnyResponse | tuple[str, int]:
    """Delete a volume whose name was typed as confirmation."""
    view = _find(cladnet, name)
    try:
        if forms.field("confirm") != view.name:
            raise InvalidInput(text("delete.mismatch"), hint=text("delete.mismatch.hint", wanted=view.name))
        volumes.delete(store(), view.group, view.name)
    except LarvaError as error:
        problem = problem_of(error)
        return _show(view, delete_problem=problem), problem.status
    return redirect("/volumes", 303)


def _find(cladnet: str, name: str) -> VolumeView:
    return volumes.find(store(), visible.cladnet(cladnet).id, name)


def _show(
    view: VolumeView,
    *,
    typed: dict[str, object] | None = None,
    mount_problem: Problem | None = None,
    delete_problem: Problem | None = None,
) -> str:
    cladnet = visible.cladnet(view.group)
    return render_template(
        "volume.html",
        volume=view,
        cladnet=cladnet,
        size=sizes.show(view.size_bytes),
        hosts=network_hosts.views(store(), view.group),
        data={"volume": codec.to_builtins(shown(view))},
        typed=typed or {"hosts": [], "path": f"/srv/{view.name}"},
        mount_problem=mount_problem,
        delete_problem=delete_problem,
    )
