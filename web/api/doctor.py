"""What is wrong on the control node that answers, and what to do."""

from dataclasses import dataclass

from larva import checks
from larva.checks import Finding
from web.api.routing import Routes
from web.roles import Right

routes = Routes("doctor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that was found, the worst first."""

    healthy: bool
    """Whether nothing but notes was found."""
    findings: tuple[Finding, ...]


@routes.get("/doctor", Right.OPERATE)
def diagnose() -> Diagnosis:
    """What `larva doctor` says on this control node."""
    findings = checks.run(checks.installed())
    return Diagnosis(healthy=checks.is_healthy(findings), findings=findings)
