"""Parts of a placement as commands print them."""

from collections.abc import Sequence

import click

from cladnet.placement.assess import Assessment
from cladnet.placement.model import Failure, Recommendation
from larva import output


def show_failures(failures: Sequence[Failure]) -> None:
    """Print each single failure and whether it is survived; those that take the same members are one line."""
    output.show_table(
        ["failure of", "members left", "survived", "promised", "write meanwhile"],
        [
            [
                ", ".join(f"{each.kind} {each.name}" for each in same), same[0].left,
                "yes" if same[0].survived else "NO", "yes" if any(each.promised for each in same) else "no",
                milliseconds(same[0].write_ms),
            ]
            for same in _by_loss(failures)
        ],
    )  # fmt: skip


def show_estimated(pairs: Sequence[tuple[str, str]]) -> None:
    """Print the pairs whose distance is a guess, if there are any."""
    if pairs:
        click.echo()
        click.echo("Never measured, guessed high: " + ", ".join(f"{one} to {other}" for one, other in pairs))


def write_cost(found: Recommendation | Assessment) -> str:
    """What a write waits for, in one line."""
    return (
        f"A write waits for {found.majority} of {len(found.members)}: {milliseconds(found.write_ms)} while "
        f"{found.leader} leads, {milliseconds(found.worst_write_ms)} under the worst leader"
    )


def milliseconds(value: float | None) -> str:
    """A latency in words."""
    return "none" if value is None else f"{value:.2f} ms"


def _by_loss(failures: Sequence[Failure]) -> list[list[Failure]]:
    lines: dict[tuple[str, ...], list[Failure]] = {}
    for failure in failures:
        lines.setdefault(failure.lost, []).append(failure)
    return list(lines.values())
