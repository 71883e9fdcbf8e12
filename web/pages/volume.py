"""One volume: how it stands, and what can be asked of it."""

from collections.abc import Callable, Mapping

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from cbstorage.model import MountPhase
from cbstorage.share_model import Share
from cbstorage.wanted import mirrors, mounting, resizing, sharing, sizes, snapshots, volumes
from cbstorage.wanted.volumes import VolumeView
from cladnet import network_hosts
from cladnet.placement.model import Survive
from larva.errors import InvalidInput, LarvaError
from web import visible, volume_page
from web.context import store
from web.pages import answering, forms
from web.problems import Problem, problem_of
from web.text import text

blueprint = Blueprint("one", __name__)

GIB = 1 << 30
UNITS_S = {"minutes": 60, "hours": 3600, "days": 86400}
Wish = Callable[[VolumeView], None]


@blueprint.get("/volumes/<cladnet>/<name>")
def show(cladnet: str, name: str) -> Response:
    """The page, and what it tells alone for its scripts."""
    return _show(_find(cladnet, name))


def form(path: str, *, after: str = "") -> Callable[[Wish], Wish]:
    """Add a form: refused, it comes back as it was typed.

    Args:
        path: of it below the volume's, and the section of the page that it is in.
        after: the page that is shown then; the volume's own by default.
    """

    def add(wish: Wish) -> Wish:
        def serve(cladnet: str, name: str) -> AnyResponse:
            view = _find(cladnet, name)
            try:
                wish(view)
            except LarvaError as error:
                return _show(view, refused=path, typed=request.form, problem=problem_of(error))
            return redirect(after or f"/volumes/{view.group}/{view.name}#{path}", 303)

        blueprint.add_url_rule(f"/volumes/<cladnet>/<name>/{path}", wish.__name__, serve, methods=["POST"])
        return wish

    return add


@form("mount")
def mount(view: VolumeView) -> None:
    """On the hosts that were ticked, or on all that are and will be."""
    hosts = None if "everywhere" in request.form else request.form.getlist("hosts")
    read_only = "read_only" in request.form
    mounting.mount(store(), view.group, view.name, hosts, forms.field("path"), read_only=read_only)


@form("shares")
def share(view: VolumeView) -> None:
    """With the hosts that were ticked too, or with these only."""
    hosts, read_only = request.form.getlist("hosts"), forms.field("may") == "read"
    if "only" not in request.form:
        sharing.share(store(), view.group, view.name, hosts, read_only=read_only)
        return
    if not hosts:
        raise InvalidInput(text("volume.share.nobody"), hint=text("volume.share.nobody.hint"))
    sharing.keep_for(store(), view.group, view.name, [Share(host=host, read_only=read_only) for host in hosts])


@form("snapshots")
def snapshot(view: VolumeView) -> None:
    """As the volume is now."""
    snapshots.create(store(), view.group, view.name, forms.field("snapshot") or None)


@form("schedule")
def schedule(view: VolumeView) -> None:
    """From time to time."""
    unit = UNITS_S.get(forms.field("unit"), UNITS_S["hours"])
    every_s = int(forms.decimal("every", what=text("volume.every")) * unit)
    keep = forms.integer("keep", what=text("volume.keep"))
    snapshots.schedule(store(), view.group, view.name, every_s=every_s, keep=keep)


@form("size")
def resize(view: VolumeView) -> None:
    """Another quota."""
    size_bytes = int(forms.decimal("size", what=text("volume.size")) * GIB)
    resizing.resize(store(), view.group, view.name, size_bytes, force="force" in request.form)


@form("mirrors")
def mirror(view: VolumeView) -> None:
    """A volume that follows this one from elsewhere."""
    group, name = view.group, view.name
    every_s = int(forms.decimal("minutes", what=text("volume.mirror.minutes")) * 60)
    promise = mirrors.placed(store(), group, name, survive=forms.field("survive") or None, home=forms.field("home"))
    mirrors.create(store(), group, name, promise, new=forms.field("mirror") or None, every_s=every_s)


@form("delete", after="/volumes")
def delete(view: VolumeView) -> None:
    """Into the trash, once its name was typed."""
    if forms.field("confirm") != view.name:
        raise InvalidInput(text("delete.mismatch"), hint=text("delete.mismatch.hint", wanted=view.name))
    volumes.delete(store(), view.group, view.name, force="force" in request.form)


def _find(cladnet: str, name: str) -> VolumeView:
    return volumes.find(store(), visible.cladnet(cladnet).id, name)


def _show(
    view: VolumeView, *, refused: str = "", typed: Mapping[str, str] | None = None, problem: Problem | None = None
) -> Response:
    facts = volume_page.read(store(), view.group, view.name)
    hosts = network_hosts.views(store(), view.group)
    clouds = {each.cloud for each in hosts if each.cloud.provider}
    response = answering.page(
        "volume.html",
        facts,
        volume=view,
        facts=facts,
        cladnet=visible.cladnet(view.group),
        size=sizes.show(view.size_bytes),
        used=sizes.show(view.used_bytes),
        gib=f"{view.size_bytes / GIB:g}",
        hosts=hosts,
        mounted=[mount.host for mount in view.mounts if mount.phase is MountPhase.MOUNTED],
        homes=sorted({"/".join(filter(None, (cloud.provider, cloud.region))) for cloud in clouds}),
        policies=[each.value for each in Survive],
        units=list(UNITS_S),
        refused=refused,
        typed=typed or {},
        ticked=request.form.getlist("hosts"),
        problem=problem,
    )
    if problem is not None:
        response.status_code = problem.status
    return response
