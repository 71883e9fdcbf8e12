"""The creation of a CLADNet in two steps: what it is to be, beside a range that is free; then what that means."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from flask import g, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from cladnet import cidr as ranges
from cladnet import networks, ula
from cladnet.free_ranges import Avoided, Recommendation
from cladnet.model import CladnetSpecification, Encryption, RuleType
from larva import codec
from larva.errors import InvalidInput, LarvaError
from web.context import store
from web.pages import forms
from web.problems import Problem, problem_of
from web.roles import Right
from web.text import text

FORM = "/new-cladnet"
"""Not below /cladnets: a CLADNet may be called anything."""
OWN_PREFIX = "own"
NOTHING_TYPED: Mapping[str, str] = {
    "rule_type": RuleType.COST_PRIORITIZED,
    "encryption": Encryption.ON,
    "ipv6": ula.OFF,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """For how many hosts a range is recommended."""

    hosts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the form says."""

    name: str
    cidr: str | None
    ipv6: str
    description: str
    rule_type: RuleType
    encryption: Encryption


def ask() -> AnyResponse | tuple[str, int]:
    """The form, with a range that is free for `?hosts=`, and what it keeps away from."""
    g.caller.require(Right.OPERATE)  # it tells what others have
    question = codec.from_texts(request.args.to_dict(), Question, source="query")
    try:
        recommended = networks.recommend(store(), hosts=question.hosts)
    except LarvaError as error:
        problem = problem_of(error)
        return _form(None, typed=NOTHING_TYPED, problem=problem), problem.status
    return _form(recommended, typed={**NOTHING_TYPED, "cidr": str(recommended.cidr)}), 200


def create() -> AnyResponse | tuple[str, int]:
    """Say what the form means; create it once that is confirmed. Refused, the form comes back as it was typed."""
    try:
        if forms.field("back"):
            return _form(networks.recommend(store()), typed=request.form.to_dict()), 200
        wish = _wish()
        if not forms.field("confirmed"):
            return _means(_draft(wish)), 200
        made = networks.create(
            store(), name=wish.name, cidr=wish.cidr, ipv6=wish.ipv6, description=wish.description,
            rule_type=wish.rule_type, encryption=wish.encryption,
        )  # fmt: skip
    except LarvaError as error:
        problem = problem_of(error)
        return _form(None, typed=request.form.to_dict(), problem=problem, overlapped=_in_the_way()), problem.status
    return redirect(f"/cladnets/{made.id}", 303)


def _wish() -> Wish:
    ipv6 = forms.field("ipv6", ula.OFF)
    return Wish(
        name=forms.field("name"),
        cidr=forms.field("cidr") or None,
        ipv6=forms.field("prefix6") if ipv6 == OWN_PREFIX else ipv6,
        description=forms.field("description"),
        rule_type=forms.choice("rule_type", RuleType, what=text("cladnet.rule_type")),
        encryption=forms.choice("encryption", Encryption, what=text("cladnet.encryption"))
        if forms.field("encryption")
        else Encryption.ON,
    )


def _draft(wish: Wish) -> CladnetSpecification:
    return networks.draft(
        store(), name=wish.name, cidr=wish.cidr, ipv6=wish.ipv6, description=wish.description,
        rule_type=wish.rule_type, encryption=wish.encryption,
    )  # fmt: skip


def _in_the_way() -> tuple[Avoided, ...]:
    """What the range that was typed overlaps, so that the refusal can be understood; nothing for what is no range."""
    try:
        return networks.overlapped(store(), ranges.parse(forms.field("cidr")))
    except (InvalidInput, ValueError):
        return ()


def _form(
    recommended: Recommendation | None,
    *,
    typed: Mapping[str, str],
    problem: Problem | None = None,
    overlapped: tuple[Avoided, ...] = (),
) -> str:
    return render_template(
        "new_cladnet.html", draft=None, recommended=recommended, typed={**NOTHING_TYPED, **typed}, problem=problem,
        overlapped=overlapped, rule_types=(RuleType.COST_PRIORITIZED, RuleType.BASIC), encryptions=tuple(Encryption),
    )  # fmt: skip


def _means(draft: CladnetSpecification) -> str:
    return render_template(
        "new_cladnet.html", draft=draft, hosts=_room(draft.cidr), overlapped=networks.overlapped(store(), draft.cidr)
    )


def _room(network: IPv4Network) -> int:
    return network.num_addresses - 2
