"""A volume is made in three steps: where it is written from, what it outlives, and what that costs."""

from dataclasses import dataclass

from flask import Blueprint, g, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from cbstorage import keys
from cbstorage.ceph.write_latency import UNWISE_MS
from cbstorage.promise import Promise
from cbstorage.wanted import promises, sizes, volumes
from cbstorage.wanted.promises import Option, Preview
from cladnet.model import CladnetSpecification
from larva.errors import InvalidInput, LarvaError, NotFound, Unavailable
from web import visible
from web.context import store
from web.pages import forms
from web.problems import Problem, problem_of
from web.roles import Right
from web.text import text

blueprint = Blueprint("new", __name__)

GIB = 1 << 30
TEMPLATE = "new_volume.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was typed, as a volume can be made of it."""

    name: str
    size_bytes: int
    promise: Promise | None


@blueprint.get("/volumes/new")
def choose() -> str | tuple[str, int]:
    """In which CLADNet and from where; once `?home=` says that, empty for anywhere, what can be promised there."""
    wanted, home = request.args.get("cladnet", ""), request.args.get("home")
    mine = [each for each in visible.cladnets() if g.caller.allows(Right.USE, each.id)]
    if not mine and not wanted:
        return render_template(TEMPLATE, step="where", cladnets=mine, cladnet=None, problem=None, preview=None)
    cladnet = visible.cladnet(wanted) if wanted else mine[0]
    g.caller.require(Right.USE, cladnet.id)
    if home is not None:
        return _what(cladnet, home, typed={}, problem=None)
    try:
        preview, problem = promises.preview(store(), cladnet.id), None
    except (NotFound, Unavailable) as error:
        preview, problem = None, problem_of(error)
    return render_template(TEMPLATE, step="where", cladnets=mine, cladnet=cladnet, problem=problem, preview=preview)


@blueprint.post("/volumes/<cladnet>")
def create(cladnet: str) -> AnyResponse | str | tuple[str, int]:
    """Say what is to be made and what it costs; once that was confirmed, make it. Refused, all is as it was typed."""
    specification = visible.cladnet(cladnet)
    typed = request.form.to_dict()
    home = forms.field("home")
    if "back" in typed:
        return _what(specification, home, typed=typed, problem=None)
    try:
        wish = _wish(specification.id, home)
        if "confirmed" not in typed:
            return _confirm(specification, wish, typed)
        volume = volumes.create(store(), specification.id, wish.name, wish.size_bytes, wish.promise)
    except LarvaError as error:
        return _what(specification, home, typed=typed, problem=problem_of(error))
    return redirect(f"/volumes/{specification.id}/{volume.name}", 303)


def _wish(group: str, home: str) -> Wish:
    name = forms.field("name")
    keys.volume(group, name)  # so that nothing is confirmed that has no key
    size_bytes = int(forms.decimal("size", what=text("volume.size")) * GIB)
    sizes.check_volume(size_bytes)
    promise = promises.parse(forms.field("survive") or None, home)
    if promise is not None:
        promises.check(store(), group, promise)
    return Wish(name=name, size_bytes=size_bytes, promise=promise)


def _what(
    cladnet: CladnetSpecification, home: str, *, typed: dict[str, str], problem: Problem | None
) -> str | tuple[str, int]:
    preview, missing = _preview(cladnet.id, home)
    page = render_template(
        TEMPLATE, step="what", cladnet=cladnet, home=home, preview=preview, unwise_ms=UNWISE_MS, problem=problem,
        missing=missing, typed={"size": "10", "survive": _best(preview), **typed},
    )  # fmt: skip
    return (page, problem.status) if problem else page


def _confirm(cladnet: CladnetSpecification, wish: Wish, typed: dict[str, str]) -> str:
    option: Option | None = None
    preview = None
    if wish.promise is not None:
        preview, _ = _preview(cladnet.id, wish.promise.home)
        option = preview.option(wish.promise.survive) if preview else None
    return render_template(
        TEMPLATE, step="confirm", cladnet=cladnet, wish=wish, size=sizes.show(wish.size_bytes), option=option,
        preview=preview, typed=typed, unwise_ms=UNWISE_MS,
    )  # fmt: skip


def _preview(group: str, home: str) -> tuple[Preview | None, Problem | None]:
    """What can be promised, or why nobody can say."""
    try:
        return promises.preview(store(), group, home), None
    except InvalidInput:
        raise
    except LarvaError as error:
        return None, problem_of(error)


def _best(preview: Preview | None) -> str:
    """The widest failure that can be outlived without making writes too slow; nothing without any."""
    possible = [] if preview is None else [one for one in preview.options if not one.missing and not one.unwise]
    return possible[-1].survive.value if possible else ""
