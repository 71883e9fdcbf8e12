"""What was measured of the control plane, as the figures that a bench tells: pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles

from larva.bench import Result

CHANGE_BAR_S = 1.0
AGENT_BAR_MB = 60.0
PEER = "cb-larva"


@dataclass(slots=True)
class Measured:
    """What joins and changes cost at one number of hosts."""

    hosts: int
    join_s: list[float] = field(default_factory=list)
    """From each host's announcement to each host's having its rule."""
    change_s: list[float] = field(default_factory=list)
    transactions: float = 0.0
    stored: float = 0.0
    """Bytes of keys and values written, a join."""
    reads: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """What one real agent costs its host."""

    resident_mb: float
    """VmRSS at rest."""
    read_mb: float
    """The same after Prometheus read it a few times."""
    cpu_percent: float
    """Of one processor, while nothing happens."""


@dataclass(slots=True)
class Original:
    """What a join cost the original."""

    hosts: int
    seconds: float
    transactions: float
    stored: float


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent do not exceed."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def results(measured: Sequence[Measured], theirs: Sequence[Original], alone: Alone) -> list[Result]:
    """The figures as they are told."""
    others = {each.hosts: each for each in theirs}
    found = []
    for row in measured:
        other, name = others.get(row.hosts), f"{row.hosts} hosts"
        peer = PEER if other is not None else None
        last = row.hosts == measured[-1].hosts
        change = percentile(row.change_s, 99)
        found += [
            Result(
                metric=f"{name}: join, until everyone has the rule, p99", unit="s", n=row.hosts,
                value=percentile(row.join_s, 99), p50=percentile(row.join_s, 50), p99=percentile(row.join_s, 99),
                peer=peer, peer_value=other.seconds if other else None,
            ),
            Result(
                metric=f"{name}: one change, until every peer has it, p99", unit="s", n=row.hosts, value=change,
                p50=percentile(row.change_s, 50), p99=change, bar=CHANGE_BAR_S if last else None,
            ),
            Result(
                metric=f"{name}: transactions a join", unit="1", n=row.hosts, value=row.transactions,
                peer=peer, peer_value=other.transactions if other else None,
            ),
            Result(
                metric=f"{name}: bytes stored a join", unit="B", n=row.hosts, value=row.stored,
                peer=peer, peer_value=other.stored if other else None,
            ),
            Result(metric=f"{name}: reads a join", unit="1", n=row.hosts, value=row.reads),
        ]  # fmt: skip
    for each in theirs:
        if each.hosts not in {row.hosts for row in measured}:
            found += [
                Result(metric=f"{PEER}, {each.hosts} hosts: {what}", unit=unit, n=each.hosts, value=v)
                for what, unit, v in (
                    ("join", "s", each.seconds), ("transactions a join", "1", each.transactions),
                    ("bytes stored a join", "B", each.stored),
                )
            ]  # fmt: skip
    first, last_row = measured[0], measured[-1]
    growth = f"from {first.hosts} to {last_row.hosts} hosts"
    return [
        *found,
        Result(
            metric=f"transactions a join, {growth}", unit="times", value=last_row.transactions / first.transactions,
            bar=1.1,
        ),
        Result(metric=f"bytes stored a join, {growth}", unit="times", value=last_row.stored / first.stored, bar=1.1),
        Result(
            metric=f"agent with {last_row.hosts} peers, resident", unit="MB", value=alone.resident_mb, bar=AGENT_BAR_MB
        ),
        Result(metric=f"agent with {last_row.hosts} peers, resident after readings", unit="MB", value=alone.read_mb),
        Result(metric=f"agent with {last_row.hosts} peers, idle", unit="% of a CPU", value=alone.cpu_percent),
    ]  # fmt: skip
