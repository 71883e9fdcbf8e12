"""Checks of a host: found by entry point, put in order, and none can hide what another finds."""

import json

import pytest
from click.testing import CliRunner

from larva import checks
from larva import doctor as doctor_module
from larva.checks import Finding, Severity
from larva.doctor import doctor
from larva.errors import Unavailable

NOTE = Finding(severity=Severity.NOTE, about="network", what="carried by wireguard")
WARNING = Finding(severity=Severity.WARNING, about="network", what="it expires", do="renew \x1b[31mit")


def refusing() -> tuple[Finding, ...]:
    raise Unavailable("etcd is away", hint="start it")


def broken() -> tuple[Finding, ...]:
    raise ZeroDivisionError("by zero")


def test_the_worst_comes_first_and_a_check_that_fails_is_told(caplog: pytest.LogCaptureFixture) -> None:
    found = checks.run({"one": lambda: (NOTE, WARNING), "two": refusing, "three": broken})
    assert [each.severity for each in found] == ["problem", "problem", "warning", "note"]
    assert (found[0].about, found[0].what, found[0].do) == ("two", "etcd is away", "start it")
    assert "ZeroDivisionError" in found[1].what
    assert "the check three failed" in caplog.text


def test_every_room_brings_its_check() -> None:
    assert {"network", "storage"} <= checks.installed().keys()


@pytest.mark.parametrize(("found", "code"), [((), 0), ((NOTE,), 0), ((NOTE, WARNING), 1)])
def test_the_exit_code_says_whether_anything_is_wrong(
    found: tuple[Finding, ...], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "installed", lambda: {"one": lambda: found})
    monkeypatch.setattr(doctor_module, "require_root", lambda doing: None)
    shown = CliRunner().invoke(doctor)
    assert shown.exit_code == code
    assert ("healthy" in shown.output) is (code == 0)
    assert "\x1b[31mit" not in shown.output
    for finding in found:
        assert finding.what in shown.output
    answer = json.loads(CliRunner().invoke(doctor, ["--json"]).output)
    assert answer["healthy"] is (code == 0)
    assert sorted(each["severity"] for each in answer["findings"]) == sorted(each.severity for each in found)
