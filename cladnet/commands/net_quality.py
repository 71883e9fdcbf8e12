"""`larva net quality` and `larva net alarms`: what the hosts of a CLADNet measure all the time."""

import json
import time

import click

from cladnet import networks, paths
from cladnet.alarm_summary import Summary
from cladnet.commands.net_status import csv_lines
from cladnet.paths import PathView
from cladnet.quality import AlarmKind, Window
from cladnet.reach.networks import TABLE
from cladnet.reach.system import Reach, System, reaching
from larva import output
from larva.codec import to_builtins
from larva.errors import InvalidInput

_COLUMNS = (
    "source", "destination", "window", "sent", "received", "loss", "min_ms", "avg_ms", "p95_ms", "jitter_ms", "age_s",
)  # fmt: skip
_NET = click.argument("cladnet", metavar="CLADNET")


@click.command()
@_NET
@click.option(
    "--window", "window_name", type=click.Choice([str(each) for each in Window]), default=str(Window.TEN_MINUTES),
    show_default=True, help="How far back.",
)  # fmt: skip
@click.option("--csv", "as_csv", is_flag=True, help="Print one line of CSV for each pair.")
@output.json_option
@reaching(TABLE)
def quality(reach: Reach, *, cladnet: str, window_name: str, as_csv: bool, as_json: bool) -> None:
    """Show what the hosts measure all the time: round trip in milliseconds, loss, age."""
    if as_csv and as_json:
        raise InvalidInput("--csv and --json exclude each other", hint="give one of them")
    with reach() as system:
        found = system(paths.views, system(networks.find, cladnet).id, Window(window_name))
    if as_json:
        output.show_json(found)
    elif as_csv:
        rows = [_COLUMNS, *([getattr(each, name) for name in _COLUMNS] for each in found)]
        click.echo(csv_lines(rows), nl=False)
    else:
        _show_quality(found)


def _show_quality(found: tuple[PathView, ...]) -> None:
    output.show_table(
        ["source", "destination", "ms", "p95", "jitter", "loss", "echoes", "age"],
        [
            [
                each.source, each.destination, _ms(each.avg_ms), _ms(each.p95_ms), _ms(each.jitter_ms),
                "" if each.loss is None else f"{each.loss:.1%}", each.sent,
                "" if each.age_s is None else f"{each.age_s:.0f} s",
            ]
            for each in found
        ],
        empty="no host has told of its paths yet; they do within a minute",
    )  # fmt: skip


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@click.command()
@_NET
@click.option("--watch", is_flag=True, help="Go on: print what is raised and cleared; with --json one object a line.")
@output.json_option
@reaching(TABLE)
def alarms(reach: Reach, *, cladnet: str, watch: bool, as_json: bool) -> None:
    """List the paths that are bad now, a cloud that is cut off as one."""
    with reach() as system:
        group = system(networks.find, cladnet).id
        if watch:
            _watch(system, group, as_json=as_json)
            return
        found = system(paths.alarms, group)
    if as_json:
        output.show_json(found)
        return
    output.show_table(
        ["what", "destination", "seen from", "since", "alarms", "evidence"],
        [
            [
                each.kind, each.destination, ", ".join(each.sources), f"{each.since:%Y-%m-%d %H:%M:%S %Z}", each.alarms,
                each.evidence,
            ]
            for each in found.summary
        ],
        empty="no alarm",
    )  # fmt: skip


def _watch(system: System, group: str, *, as_json: bool) -> None:
    before: dict[tuple[AlarmKind, str, tuple[str, ...]], Summary] = {}
    for found in system(paths.following, group):
        now = {(each.kind, each.destination, each.sources): each for each in found.summary}
        raised = [each for key, each in now.items() if key not in before]
        cleared = [each for key, each in before.items() if key not in now]
        if as_json:
            told = {"raised": raised, "cleared": cleared}
            click.echo(json.dumps(to_builtins(told), ensure_ascii=False))
        else:
            for word, changes in (("raised", raised), ("cleared", cleared)):
                for each in changes:
                    click.echo(output.printable(f"{time.strftime('%H:%M:%S')} {word}: {each.text}"))
            if not before and not now:
                click.echo(f"{time.strftime('%H:%M:%S')} no alarm")
        before = now
