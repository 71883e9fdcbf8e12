"""`larva net status`: have every host measure the latency to every other, and show the rows."""

import csv
import io
import json
from collections.abc import Iterable, Sequence

import click

from cladnet import networks, status_tests
from cladnet.model import HostStatus
from cladnet.reach.networks import TABLE
from cladnet.reach.system import Reach, reaching
from larva import output
from larva.codec import to_builtins
from larva.errors import InvalidInput

CSV_COLUMNS = (
    "source", "destination", "destination_address", "sent", "received", "min_ms", "avg_ms", "max_ms", "measured_at",
)  # fmt: skip


@click.command()
@click.argument("cladnet", metavar="CLADNET")
@click.option("--trials", default=3, show_default=True, help="Echo requests per peer.")
@click.option(
    "--wait", "wait_s", type=float, help="Seconds to wait for every host's row; by default what so many hosts may take."
)
@click.option("--watch", is_flag=True, help="Print each host's row as it arrives; with --json one object a line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one line of CSV for each pair.")
@output.json_option
@reaching(TABLE)
def status(
    reach: Reach, *, cladnet: str, trials: int, wait_s: float | None, watch: bool, as_csv: bool, as_json: bool
) -> None:
    """Have every host measure the latency to every other: source, destination, milliseconds."""
    if as_csv and as_json:
        raise InvalidInput("--csv and --json exclude each other", hint="give one of them")
    with reach() as system:
        specification = system(networks.find, cladnet)
        test = system(status_tests.request, specification.id, trials=trials)
        if wait_s is None:
            wait_s = system(status_tests.longest_s, specification.id, test)
        rows = system(status_tests.arriving, specification.id, test, wait_s=wait_s)
        if not watch:
            rows = iter(sorted(rows, key=lambda row: row.host))
        if as_csv:
            click.echo(csv_lines([CSV_COLUMNS]), nl=False)
            for row in rows:
                click.echo(csv_lines(csv_cells(row)), nl=False)
        elif watch:
            for row in rows:
                click.echo(json.dumps(to_builtins(row), ensure_ascii=False) if as_json else one_line(row))
        elif as_json:
            output.show_json(tuple(rows))
        else:
            _show_pairs(tuple(rows))


def csv_cells(row: HostStatus) -> list[tuple[object, ...]]:
    """The lines of one host, after CSV_COLUMNS; what was not measured is empty."""
    return [
        (
            row.host, cell.destination, cell.destination_address, cell.sent, cell.received, cell.min_ms, cell.avg_ms,
            cell.max_ms, row.measured_at.isoformat(),
        )
        for cell in row.latencies
    ]  # fmt: skip


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """CSV as RFC 4180 has it, but with plain newlines."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [output.printable(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return text.getvalue()


def one_line(row: HostStatus) -> str:
    """One host's row for a terminal."""
    cells = ", ".join(f"{cell.destination} {_shown(cell.avg_ms)}" for cell in row.latencies)
    return output.printable(f"{row.host} → {cells or 'no peer'}")


def _show_pairs(rows: Sequence[HostStatus]) -> None:
    output.show_table(
        ["source", "destination", "ms", "min", "max", "lost"],
        [
            [
                row.host, cell.destination, _shown(cell.avg_ms), _shown(cell.min_ms), _shown(cell.max_ms),
                f"{cell.sent - cell.received} of {cell.sent}" if cell.received < cell.sent else "",
            ]
            for row in rows
            for cell in row.latencies
        ],
        empty="no host answered" if not rows else "no host has a peer",
    )  # fmt: skip


def _shown(average_ms: float | None) -> str:
    return "lost" if average_ms is None else f"{average_ms:.2f}"
