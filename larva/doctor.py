"""`larva doctor`: what is wrong on this host and what to do."""

import sys
from collections.abc import Sequence

import click

from larva import checks, output
from larva.checks import Finding, Severity
from larva.errors import ExitCode
from larva.process import require_root

_COLOURS = {Severity.PROBLEM: "red", Severity.WARNING: "yellow", Severity.NOTE: "blue"}


@click.command()
@output.json_option
def doctor(*, as_json: bool) -> None:
    """Say in plain words what is wrong on this host and what to do; exit with 1 if there is anything."""
    require_root("looking at the data path")
    findings = checks.run(checks.installed())
    healthy = checks.is_healthy(findings)
    if as_json:
        output.show_json({"healthy": healthy, "findings": findings})
    else:
        _show(findings, healthy=healthy)
    if not healthy:
        sys.exit(int(ExitCode.FAILURE))


def _show(findings: Sequence[Finding], *, healthy: bool) -> None:
    for finding in findings:
        click.secho(f"{finding.severity:8}", fg=_COLOURS[finding.severity], nl=False)
        click.echo(output.printable(f" {finding.about}: {finding.what}"))
        if finding.do:
            click.echo(output.printable(f"         → {finding.do}"))
    if healthy:
        click.secho("healthy", fg="green")
