"""The list of CLADNets, and one CLADNet with its hosts and latencies."""

from collections.abc import Mapping

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from cbstorage import records
from cladnet import keys, network_hosts, networks, paths, status_tests
from cladnet.model import CladnetSpecification, Role, TestSpecification
from larva import codec
from larva.errors import InvalidInput, LarvaError
from web import join_material, visible
from web.context import shared, store
from web.join_material import JoinMaterial
from web.pages import forms, new_cladnet
from web.problems import Problem, problem_of
from web.text import text

blueprint = Blueprint("cladnets", __name__)
tests = Blueprint("status_tests", __name__)
"""Who uses a CLADNet may ask for one."""
blueprint.add_url_rule(new_cladnet.FORM, view_func=new_cladnet.ask)
blueprint.add_url_rule("/cladnets", view_func=new_cladnet.create, methods=["POST"])

TOKEN_ROLES = (Role.MEMBER, Role.STORAGE, Role.GATEWAY)
DEFAULT_JOIN = {"roles": [Role.MEMBER.value], "uses": "1", "hours": "24"}


@blueprint.get("/cladnets")
def list_all() -> str:
    """Every CLADNet."""
    return render_template("cladnets.html", data={"cladnets": codec.to_builtins(visible.cladnets())})


@blueprint.get("/cladnets/<cladnet>")
def show(cladnet: str) -> str:
    """One CLADNet."""
    return _show(visible.cladnet(cladnet))


@blueprint.post("/cladnets/<cladnet>/join")
def join(cladnet: str) -> str | tuple[str, int]:
    """Make user-data for new hosts and show it, this once."""
    specification = visible.cladnet(cladnet)
    try:
        made = join_material.make(
            specification.id,
            roles=forms.choices("roles", Role, what=text("join.roles")),
            ttl_s=int(forms.decimal("hours", what=text("join.hours")) * 3600),
            uses=forms.integer("uses", what=text("join.uses")),
        )
    except LarvaError as error:
        problem = problem_of(error)
        typed = {**request.form.to_dict(), "roles": request.form.getlist("roles")}
        return _show(specification, join_typed=typed, join_problem=problem), problem.status
    return _show(specification, made=made)


@tests.post("/cladnets/<cladnet>/status-tests")
def ask_status(cladnet: str) -> AnyResponse:
    """Ask for a status test, for pages without scripts."""
    specification = visible.cladnet(cladnet)
    status_tests.request(store(), specification.id, trials=forms.integer("trials", what=text("status.trials")))
    return redirect(f"/cladnets/{specification.id}#latency", 303)


@blueprint.post("/cladnets/<cladnet>/delete")
def delete(cladnet: str) -> AnyResponse | tuple[str, int]:
    """Delete a CLADNet whose ID was typed as confirmation."""
    specification = visible.cladnet(cladnet)
    try:
        if forms.field("confirm") != specification.id:
            hint = text("delete.mismatch.hint", wanted=specification.id)
            raise InvalidInput(text("delete.mismatch"), hint=hint)
        networks.delete(store(), specification.id)
    except LarvaError as error:
        problem = problem_of(error)
        return _show(specification, delete_problem=problem), problem.status
    return redirect("/cladnets", 303)


def _show(
    specification: CladnetSpecification,
    *,
    made: JoinMaterial | None = None,
    join_typed: Mapping[str, object] | None = None,
    join_problem: Problem | None = None,
    delete_problem: Problem | None = None,
) -> str:
    asked = store().get(keys.test_specification(specification.id), TestSpecification)
    test = asked.value if asked else None
    data = {
        "cladnet": specification,
        "hosts": shared(network_hosts.views, specification.id),
        "alarms": shared(paths.alarms, specification.id),
        "status": {"test": test, "rows": status_tests.matrix(store(), specification.id, test.id if test else None)},
    }
    return render_template(
        "cladnet.html",
        cladnet=specification,
        data=codec.to_builtins(data),
        volumes=len(records.volumes(store(), specification.id)),
        made=made,
        token_roles=TOKEN_ROLES,
        join_typed=join_typed or DEFAULT_JOIN,
        join_problem=join_problem,
        delete_problem=delete_problem,
    )
