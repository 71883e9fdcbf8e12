"""`larva placement`: where to put the members of a clustered service."""

from pathlib import Path

import click

from cladnet.placement import advice, candidates, words
from cladnet.placement.model import Recommendation, Survive
from cladnet.reach.networks import TABLE
from cladnet.reach.system import Reach, ReachingGroup, reaching
from larva import output
from larva.errors import InvalidInput


@click.group(cls=ReachingGroup)
def placement() -> None:
    """Find the best hosts for the members of a clustered service."""


@placement.command("recommend")
@click.option("--nodes", type=int, required=True, help="Members: 3, 5 or 7.")
@click.option(
    "--survive", type=click.Choice([str(each) for each in Survive]), required=True,
    help="The widest single failure to survive.",
)  # fmt: skip
@click.option(
    "--candidates", "file", type=click.Path(dir_okay=False, path_type=Path),
    help="Hosts and round-trip times, TOML or JSON.",
)  # fmt: skip
@click.option("--net", "cladnet", metavar="CLADNET", help="The hosts of a CLADNet and its last status test.")
@output.json_option
@reaching(TABLE)
def recommend_command(
    reach: Reach, *, nodes: int, survive: str, file: Path | None, cladnet: str | None, as_json: bool
) -> None:
    """Say which of the five models fits, on which hosts, what they survive and what a write costs."""
    if (file is None) == (cladnet is None):
        raise InvalidInput("candidates come from one place", hint="give either --candidates FILE or --net CLADNET")
    if file is not None:
        recommended = advice.of(candidates.read(file), nodes=nodes, survive=Survive(survive))
    else:
        with reach() as system:
            recommended = system(advice.of_cladnet, str(cladnet), nodes=nodes, survive=Survive(survive))
    if as_json:
        output.show_json(recommended)
    else:
        _show(recommended)


def _show(found: Recommendation) -> None:
    click.echo(f"Model {int(found.model)}: {found.title}")
    for answer in found.path:
        click.echo(f"  {answer.question} {'yes' if answer.yes else 'no'}")
    click.echo(words.write_cost(found))
    click.echo()
    output.show_table(
        ["member", "CSP", "region", "zone", "area", "write if it leads"],
        [
            [
                each.site.host, each.site.csp, each.site.region.split("/")[1], each.site.zone.split("/")[2],
                each.site.area, words.milliseconds(each.write_ms),
            ]
            for each in found.members
        ],
    )  # fmt: skip
    click.echo()
    output.show_table(
        ["model", "", "verdict", "why"],
        [[int(each.model), each.model.title, each.outcome, each.reason] for each in found.verdicts],
    )
    click.echo()
    words.show_failures(found.failures)
    words.show_estimated(found.estimated)
    for warning in found.warnings:
        output.note(f"note: {warning}")
