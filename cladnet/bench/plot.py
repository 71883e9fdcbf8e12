"""The growth of a join's cost with the number of hosts, ours and the original's, as a picture."""

from collections.abc import Sequence
from pathlib import Path

from cladnet.bench.figures import PEER
from larva.bench import Result

_PANELS = (("bytes stored a join", "bytes"), ("transactions a join", "transactions"), ("join", "seconds"))


def growth(results: Sequence[Result], path: Path) -> None:
    """Write the picture; ImportError where matplotlib, which the appliance does not need, is not installed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for position, (what, unit) in enumerate(_PANELS):
        axes = figure.add_subplot(1, len(_PANELS), position + 1)
        rows = [result for result in results if result.n is not None and _is_about(result, what)]
        ours = [(row.n or 0, row.value) for row in rows if not row.metric.startswith(PEER)]
        theirs = [(row.n or 0, row.peer_value) for row in rows if row.peer_value is not None]
        theirs += [(row.n or 0, row.value) for row in rows if row.metric.startswith(PEER)]
        for points, label, marker in ((sorted(ours), "larva", "o"), (sorted(theirs), "cb-larva's algorithm", "s")):
            axes.plot([x for x, _ in points], [y for _, y in points], marker=marker, label=label)
        axes.set(xscale="log", yscale="log", xlabel="hosts", ylabel=unit, title=what)
        axes.grid(visible=True, which="both", alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)


def _is_about(result: Result, what: str) -> bool:
    about = result.metric.partition(": ")[2]
    return about == what or about.startswith(f"{what}, until")
