"""`larva bench`: run a bench by name, print its table, write its JSON."""

import platform
import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path

import click

from larva import codec, files, output
from larva.errors import NotFound

BENCHES = "larva.benches"
PLOTS = "larva.plots"
"""Functions `(results, path)` that draw a bench's results as PNG; named as the bench."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One figure; `ratio` = value / peer_value, both measured in this run, and `meets` says whether `bar` holds."""

    metric: str
    unit: str
    value: float
    p50: float | None = None
    p99: float | None = None
    peer: str | None = None
    peer_value: float | None = None
    bar: float | None = None
    n: int | None = None
    """How many there were of what grows."""

    @property
    def ratio(self) -> float | None:
        """How this compares with the peer; None without one."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def meets(self) -> bool | None:
        """Whether the value stays at or below its bar; None without one."""
        return None if self.bar is None else self.value <= self.bar


@click.command()
@click.argument("name")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the results here.")
@click.option("--quick", is_flag=True, help="Fewer rounds, for a first look.")
def bench(*, name: str, json_file: Path | None, quick: bool) -> None:
    """Measure NAME and print the figures."""
    points = {point.name: point for point in entry_points(group=BENCHES)}
    if name not in points:
        raise NotFound(f"there is no bench {name!r}", hint=f"benches: {', '.join(sorted(points)) or 'none installed'}")
    results: list[Result] = points[name].load()(quick=quick)
    output.show_table(
        ["metric", "value", "unit", "peer", "peer value", "ratio", "bar", "meets"],
        [
            [r.metric, _short(r.value), r.unit, r.peer, _short(r.peer_value), _short(r.ratio), r.bar, r.meets]
            for r in results
        ],
    )
    if json_file is not None:
        files.write_whole(json_file, codec.encode(_document(name, results)) + b"\n")
        _plot(name, results, json_file.with_suffix(".png"))


def _plot(name: str, results: list[Result], path: Path) -> None:
    for point in entry_points(group=PLOTS, name=name):
        try:
            point.load()(results, path)
        except ImportError as error:
            output.note(f"{path.name} is not drawn: {error}")


def _short(figure: float | None) -> str | None:
    return None if figure is None else f"{figure:.4g}"


def _document(name: str, results: list[Result]) -> dict[str, object]:
    rows = [{**codec.to_builtins(result), "ratio": result.ratio, "meets": result.meets} for result in results]
    return {
        "bench": name,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()} {platform.release()}",
        "command": shlex.join(["larva", *sys.argv[1:]]),
        "results": [{key: value for key, value in row.items() if value is not None} for row in rows],
    }
