"""`larva update`: security updates of this host; storage daemons of one host at a time."""

import click

from cbstorage.updating import update as updating
from cbstorage.updating.update import Due, Pace
from cladnet.member import Member, member_file
from larva import output, packages
from larva.process import require_root


@click.group()
def update() -> None:
    """Security updates of this host, never while another host of its storage cluster restarts daemons."""


@update.command()
@output.json_option
def show(*, as_json: bool) -> None:
    """Show what the security archive has for this host, and which services run what was replaced already."""
    require_root("looking at packages")
    packages.refresh()
    _show(updating.due(), as_json=as_json)


@update.command()
@click.option(
    "--wait",
    "patience_s",
    type=click.FloatRange(min=0.0),
    default=Pace().patience_s,
    show_default=True,
    metavar="SECONDS",
    help="For this host's turn, and each time for the others to be whole.",
)
@output.json_option
def run(*, patience_s: float, as_json: bool) -> None:
    """Upgrade what the security archive has, and restart what runs the old version.

    A storage host and a control node do so in their turn, while all else is whole, one daemon after the other. What
    fails is safe to be run again; `larva-update.timer` does daily.
    """
    require_root("upgrading packages")
    with updating.alone(), updating.guards_of_this_host() as guards:
        packages.refresh()
        host = Member.load().host if member_file().exists() else ""
        _show(updating.run(guards, host, pace=Pace(patience_s=patience_s)), as_json=as_json)


def _show(due: Due, *, as_json: bool) -> None:
    if as_json:
        output.show_json(due)
        return
    one = due.restarts
    rows = [["unfinished", name, "an upgrade was interrupted"] for name in due.unfinished]
    rows += [["package", each.name, f"{each.old or 'new'} → {each.new}"] for each in due.upgrades]
    rows += [["restart", name, ""] for name in (*one.plain, *one.control, *one.storage)]
    rows += [["left", name, "with the next boot, or a volume's next mount"] for name in one.left]
    output.show_table(["", "what", ""], rows, empty="nothing to do")
