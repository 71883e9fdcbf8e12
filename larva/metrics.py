"""What services tell Prometheus: counters and gauges in its text format 0.0.4.

Source of the format: https://prometheus.io/docs/instrumenting/exposition_formats/ (Text-based format). Nearly every
value of ours is read when it is asked for, so this is a renderer and no more; see docs/decisions/013.
"""

import logging
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from larva import __version__
from larva.errors import LarvaError

log = logging.getLogger(__name__)

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]


class Kind(StrEnum):
    """What a value does: a counter only grows."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with all its samples; `name` ends with its unit, a counter's with `_total`."""

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]


def labels(**pairs: str) -> Labels:
    """The labels of one sample."""
    return tuple(pairs.items())


def render(families: Iterable[Family]) -> str:
    """Return the families as Prometheus reads them; one without samples is left out."""
    return "".join(_page(family) for family in families)


def _page(family: Family) -> str:
    if not family.samples:
        return ""
    lines = [f"# HELP {family.name} {_escaped(family.help)}", f"# TYPE {family.name} {family.kind}"]
    lines += [f"{family.name}{_label_set(pairs)} {_number(value)}" for pairs, value in family.samples]
    return "".join(f"{line}\n" for line in lines)


def _label_set(pairs: Labels) -> str:
    inner = ",".join(f'{name}="{_escaped(value).replace(chr(34), chr(92) + chr(34))}"' for name, value in pairs)
    return f"{{{inner}}}" if inner else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)


class Counter:
    """A value that only grows, one for each set of labels; from any thread."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._values: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, amount: float = 1, **pairs: str) -> None:
        """Grow."""
        with self._lock:
            key = labels(**pairs)
            self._values[key] = self._values.get(key, 0) + amount

    def families(self) -> Iterable[Family]:
        """What there is to tell."""
        with self._lock:
            return (Family(self._name, Kind.COUNTER, self._text, tuple(self._values.items())),)


class Registry:
    """Everything that this process tells."""

    def __init__(self) -> None:
        self._collectors: list[Callable[[], Iterable[Family]]] = []

    def counter(self, name: str, text: str) -> Counter:
        """A new counter of this process."""
        made = Counter(name, text)
        self.collect_from(made.families)
        return made

    def collect_from(self, collector: Callable[[], Iterable[Family]]) -> None:
        """Ask `collector` each time somebody reads."""
        self._collectors.append(collector)

    def text(self) -> str:
        """Everything, rendered a family at a time; what cannot be read now is left out."""
        version = (labels(version=__version__), 1.0)
        pages = [_page(Family("larva_build_info", Kind.GAUGE, "The version that runs.", (version,)))]
        for collector in self._collectors:
            try:
                pages += (_page(family) for family in collector())
            except LarvaError as error:
                log.warning("some metrics cannot be read: %s", error.message)
            except Exception:  # a defect of ours, which shall cost no other metric
                log.exception("some metrics cannot be read")
        return "".join(pages)


REGISTRY = Registry()
