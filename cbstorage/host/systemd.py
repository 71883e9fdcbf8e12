"""The few words spoken with systemd: is a unit up, start it, stop it, run a program as a unit of its own."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from larva import process
from larva.errors import ProgramFailed

log = logging.getLogger(__name__)

QUICK_S = 20
START_S = 90
STOP_S = 60


def state(unit: str) -> str:
    """The unit's ActiveState: active, activating, failed, inactive …"""
    return process.run(["systemctl", "show", "--property=ActiveState", "--value", unit], timeout=QUICK_S).strip()


def running(unit: str) -> bool:
    """Whether the unit runs."""
    return state(unit) == "active"


def start(unit: str) -> bool:
    """Start a unit that does not run and return whether it had to be started.

    One that failed too often for systemd is given another chance: the caller paces the attempts.
    """
    before = state(unit)
    if before in ("active", "activating", "reloading"):
        return False
    if before == "failed":
        log.warning("%s had failed and is started again", unit)
        process.run(["systemctl", "reset-failed", unit], timeout=QUICK_S)
    process.run(["systemctl", "start", unit], timeout=START_S)
    return True


def stop(unit: str) -> None:
    """Stop a unit; one that does not exist is no error."""
    process.run(["systemctl", "stop", unit], timeout=STOP_S, ok_codes=(0, 5))
    process.run(["systemctl", "reset-failed", unit], timeout=QUICK_S, ok_codes=(0, 1, 5))


def restart(unit: str) -> None:
    """Stop a unit and start it again."""
    process.run(["systemctl", "restart", unit], timeout=STOP_S + START_S)


def age_s(unit: str) -> float | None:
    """Seconds since the unit's program was started; None while it was not, or ended."""
    shown = process.run(
        ["systemctl", "show", "--property=ExecMainStartTimestampMonotonic,MainPID", unit], timeout=QUICK_S
    )
    told = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    started = told.get("ExecMainStartTimestampMonotonic", "0")
    if told.get("MainPID", "0") == "0" or not started.isdecimal():
        return None
    return time.monotonic() - int(started) / 1e6


def disable(unit: str) -> None:
    """Let no boot start a unit; one that does not exist, or that no boot starts, is no error."""
    process.run(["systemctl", "disable", "--quiet", unit], timeout=QUICK_S, ok_codes=(0, 1, 5))


def run_as_unit(unit: str, argv: Sequence[str | Path], *, properties: Sequence[str]) -> None:
    """Run a program as a transient unit, which outlives its caller and vanishes when it ends.

    Args:
        properties: as `TimeoutStopSec=10`.
    """
    options = [f"--property={one}" for one in properties]
    process.run(["systemd-run", "--quiet", "--collect", f"--unit={unit}", *options, "--", *argv], timeout=START_S)


def last_words(unit: str, lines: int = 3) -> str:
    """The unit's last lines in the journal."""
    try:
        shown = process.run(
            ["journalctl", "--unit", unit, "--lines", str(lines), "--output=cat", "--no-pager"], timeout=QUICK_S
        )
    except ProgramFailed as error:
        return error.message
    return " / ".join(line.strip() for line in shown.splitlines() if line.strip())
