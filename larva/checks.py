"""Checks of this host: each room brings its own by entry point; what they find, in plain words."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import entry_points

from larva.errors import LarvaError

log = logging.getLogger(__name__)

CHECKS = "larva.checks"
"""Each entry point is a function without arguments that returns findings."""


class Severity(StrEnum):
    """How bad it is."""

    PROBLEM = "problem"
    """Something does not work."""
    WARNING = "warning"
    """Something works for now, or not as it should."""
    NOTE = "note"
    """Good to know; a host with nothing but notes is healthy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that somebody should know."""

    severity: Severity
    about: str
    """One word or two: `etcd`, `clock`, a CLADNet's name."""
    what: str
    """What is so, one sentence."""
    do: str = ""
    """What to do about it; empty where there is nothing."""


Check = Callable[[], Iterable[Finding]]


def installed() -> dict[str, Check]:
    """The checks of every room that is installed, by name."""
    return {point.name: point.load() for point in sorted(entry_points(group=CHECKS), key=lambda point: point.name)}


def run(checks: dict[str, Check]) -> tuple[Finding, ...]:
    """Return what all find, the worst first; one that cannot do its work is a finding itself."""
    found: list[Finding] = []
    for name, check in checks.items():
        try:
            found += check()
        except LarvaError as error:
            found.append(Finding(severity=Severity.PROBLEM, about=name, what=error.message, do=error.hint))
        except Exception as error:  # a defect in one check must not hide what the others find; it is logged in full
            log.exception("the check %s failed", name)
            what = f"the check itself failed: {type(error).__name__}: {error}"
            found.append(Finding(severity=Severity.PROBLEM, about=name, what=what, do="this is a defect; report it"))
    order = tuple(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing but notes was found."""
    return all(finding.severity is Severity.NOTE for finding in findings)
