"""The network's check of this host, found by `larva doctor` under the entry point group `larva.checks`."""

from cladnet.doctor.diagnosis import diagnose
from cladnet.doctor.inspection import inspect
from larva.checks import Finding, Severity
from larva.errors import NotFound


def check() -> tuple[Finding, ...]:
    """Return what is wrong with this host's place in the system and in its CLADNets."""
    try:
        return diagnose(inspect())
    except NotFound as error:
        return (Finding(severity=Severity.PROBLEM, about="enrolment", what=error.message, do=error.hint),)
