"""The decision tree: what has to be outlived leads to the models that can; the matrix decides between those."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cladnet.placement.model import Answer, Kind, Model, Outcome, Site, Survive, Verdict
from cladnet.placement.quorum import tolerated
from cladnet.placement.search import Choice, Limits, best, most_members, neighbours
from larva.errors import InvalidInput

PROMISED: dict[Survive, tuple[Kind, ...]] = {
    Survive.HOST: (Kind.HOST,),
    Survive.ZONE: (Kind.HOST, Kind.ZONE),
    Survive.REGION: (Kind.HOST, Kind.ZONE, Kind.REGION, Kind.AREA),
    Survive.CSP: (Kind.HOST, Kind.ZONE, Kind.REGION, Kind.CSP),
    Survive.CSP_REGION: (Kind.HOST, Kind.ZONE, Kind.REGION, Kind.AREA, Kind.CSP),
}
"""What a policy promises to outlive. A zone lies in one region, a region in one CSP and one area."""

LIMITED: dict[Survive, tuple[Kind, ...]] = {
    Survive.HOST: (),
    Survive.ZONE: (Kind.ZONE,),
    Survive.REGION: (Kind.AREA,),
    Survive.CSP: (Kind.CSP,),
    Survive.CSP_REGION: (Kind.CSP, Kind.AREA),
}
"""The widest kinds of a policy: who keeps no majority in one of these keeps none in what lies inside it."""

ABLE: dict[Model, frozenset[Survive]] = {
    Model.SINGLE_ZONE: frozenset({Survive.HOST}),
    Model.MULTI_ZONE: frozenset({Survive.HOST, Survive.ZONE}),
    Model.MULTI_REGION: frozenset({Survive.HOST, Survive.ZONE, Survive.REGION}),
    Model.MULTI_CSP: frozenset({Survive.HOST, Survive.ZONE, Survive.CSP}),
    Model.MULTI_CSP_MULTI_REGION: frozenset(Survive),
}
"""What each model can outlive by its form."""

WITHIN: dict[Model, Kind | None] = {
    Model.SINGLE_ZONE: Kind.ZONE,
    Model.MULTI_ZONE: Kind.REGION,
    Model.MULTI_REGION: Kind.CSP,
    Model.MULTI_CSP: Kind.AREA,
    Model.MULTI_CSP_MULTI_REGION: None,
}
"""What all members of a model have in common, and so lose together."""

WORDS = {Kind.HOST: "host", Kind.ZONE: "zone", Kind.REGION: "region", Kind.AREA: "region", Kind.CSP: "CSP"}
PLURALS = {
    Kind.HOST: "hosts",
    Kind.ZONE: "zones",
    Kind.REGION: "regions",
    Kind.AREA: "regions in different areas",
    Kind.CSP: "CSPs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The model, its members and why."""

    model: Model
    choice: Choice
    path: tuple[Answer, ...]
    verdicts: tuple[Verdict, ...]


def questions(survive: Survive) -> tuple[Answer, ...]:
    """The tree's questions on the way to this policy, with their answers."""
    limited = LIMITED[survive]
    path = [Answer(question="Must a whole CSP's failure be survived?", yes=Kind.CSP in limited)]
    path.append(Answer(question="Must a whole region's failure be survived?", yes=Kind.AREA in limited))
    if not {Kind.CSP, Kind.AREA} & set(limited):
        path.append(Answer(question="Must a whole zone's failure be survived?", yes=Kind.ZONE in limited))
    return tuple(path)


def shape(sites: Sequence[Site]) -> Model:
    """The model that hosts at these sites make."""
    csps = {site.csp for site in sites}
    if len(csps) > 1:
        return Model.MULTI_CSP if len({site.area for site in sites}) == 1 else Model.MULTI_CSP_MULTI_REGION
    if len({site.region for site in sites}) > 1:
        return Model.MULTI_REGION
    return Model.SINGLE_ZONE if len({site.zone for site in sites}) == 1 else Model.MULTI_ZONE


def decide(sites: Sequence[Site], rtt: Sequence[Sequence[float]], *, nodes: int, survive: Survive) -> Decision:
    """Choose the model and its members: the least write latency, then the simplest model, then the nearest hosts.

    Raises:
        InvalidInput: no set of these hosts outlives what it has to; the message says what is missing.
    """
    kinds = LIMITED[survive]
    limits = Limits(
        nodes=nodes, most=tolerated(nodes), domains=tuple([site.domain(kind) for site in sites] for kind in kinds)
    )
    near = neighbours(rtt)
    found: dict[Model, Choice] = {}
    for model in Model:
        if survive in ABLE[model]:
            choice = best(rtt, near, limits, _pools(sites, model))
            if choice is not None:
                found[model] = choice
    if not found:
        raise InvalidInput(
            f"no {nodes} of {len(sites)} hosts survive the failure of {_any_of(kinds)}: "
            f"{shortage(sites, kinds, limits)}",
            hint="add such hosts, or ask to survive less",
        )
    least = min(choice.write_ms for choice in found.values())
    chosen = min(model for model, choice in found.items() if choice.write_ms == least)
    return Decision(
        model=chosen,
        choice=found[chosen],
        path=questions(survive),
        verdicts=tuple(_verdict(model, chosen, found, sites, limits, survive) for model in Model),
    )


def _pools(sites: Sequence[Site], model: Model) -> list[str]:
    kind = WITHIN[model]
    return ["" if kind is None else site.domain(kind) for site in sites]


def _verdict(
    model: Model, chosen: Model, found: dict[Model, Choice], sites: Sequence[Site], limits: Limits, survive: Survive
) -> Verdict:
    kinds = LIMITED[survive]
    if survive not in ABLE[model]:
        lacking = " or ".join(WORDS[kind] for kind in kinds if not _spreads(model, kind))
        return Verdict(
            model=model,
            outcome=Outcome.PROMISES_LESS,
            reason=f"all members are in one {lacking}, whose failure ends it",
        )
    if model not in found:
        return Verdict(model=model, outcome=Outcome.IMPOSSIBLE, reason=_why_impossible(sites, model, kinds, limits))
    choice, winner = found[model], found[chosen]
    if model == chosen:
        return Verdict(
            model=model, outcome=Outcome.CHOSEN, write_ms=choice.write_ms,
            reason=f"the least write latency of those that survive the failure of {_any_of(kinds)}",
        )  # fmt: skip
    if choice.write_ms > winner.write_ms:
        return Verdict(
            model=model, outcome=Outcome.SLOWER, write_ms=choice.write_ms,
            reason=f"writes take {choice.write_ms:.2f} ms at best, against {winner.write_ms:.2f} ms",
        )  # fmt: skip
    return Verdict(
        model=model, outcome=Outcome.NO_GAIN, write_ms=choice.write_ms,
        reason=f"spreading wider than model {int(chosen)} makes no write faster",
    )  # fmt: skip


def _spreads(model: Model, kind: Kind) -> bool:
    return any(kind in LIMITED[survive] and len(LIMITED[survive]) == 1 for survive in ABLE[model])


def _any_of(kinds: Sequence[Kind]) -> str:
    return " and of ".join(f"any one {WORDS[kind]}" for kind in kinds) or "any one host"


def _why_impossible(sites: Sequence[Site], model: Model, kinds: Sequence[Kind], limits: Limits) -> str:
    """What is missing in the pool of the model that comes nearest."""
    kind = WITHIN[model]
    if kind is None:
        return shortage(sites, kinds, limits)
    pools: dict[str, list[int]] = {}
    for index, pool in enumerate(_pools(sites, model)):
        pools.setdefault(pool, []).append(index)
    name, hosts = max(pools.items(), key=lambda item: (most_members(item[1], limits), item[0]))
    within = Limits(
        nodes=limits.nodes,
        most=limits.most,
        domains=tuple([domain[host] for host in hosts] for domain in limits.domains),
    )
    word = "area" if kind == Kind.AREA else WORDS[kind]
    return f"{word} {name} comes nearest: {shortage([sites[host] for host in hosts], kinds, within)}"


def shortage(sites: Sequence[Site], kinds: Sequence[Kind], limits: Limits) -> str:
    """Say what these sites lack to hold the members."""
    if not kinds:
        return f"needs {limits.nodes} hosts, found {len(sites)}"
    for kind in kinds:
        sizes = Counter(site.domain(kind) for site in sites)
        needed = -(-limits.nodes // limits.most)
        listed = ", ".join(sorted(sizes))
        if len(sizes) < needed:
            return f"needs {needed} {PLURALS[kind]}, found {len(sizes)} ({listed})"
        usable = sum(min(size, limits.most) for size in sizes.values())
        if usable < limits.nodes:
            counted = ", ".join(f"{name} has {size}" for name, size in sorted(sizes.items()))
            return (
                f"needs {limits.nodes} hosts with at most {limits.most} in one {WORDS[kind]}, "
                f"found {usable} such ({counted})"
            )
    together = " and ".join(f"{limits.most} in one {WORDS[kind]}" for kind in kinds)
    return f"no more than {most_members(range(len(sites)), limits)} hosts keep to at most {together} at once"
