"""Logs as text for people, and as one JSON object a line for programs."""

import json
import logging
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from larva.log import JsonFormatter

SCRIPT = """
import logging
from larva import log
log.set_up(debug=False)
logging.getLogger("room").warning("%s is\\naway", "etcd")
try:
    raise ValueError("broken")
except ValueError:
    logging.getLogger("room").exception("unexpected")
"""


def logged(**environment: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("JOURNAL_STREAM", "LARVA_LOG")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True,
        env={**clean, **environment},
    )  # fmt: skip
    return done.stderr.splitlines()


def test_json_has_one_object_a_line_whatever_was_said() -> None:
    first, second = (json.loads(line) for line in logged(LARVA_LOG="json", JOURNAL_STREAM="8:1"))
    assert (first["level"], first["logger"], first["message"]) == ("warning", "room", "etcd is\naway")
    assert datetime.fromisoformat(first["time"]).tzinfo is not None
    assert "exception" not in first
    assert (second["level"], second["message"]) == ("error", "unexpected")
    assert second["exception"].endswith("ValueError: broken")


def test_text_is_for_people_and_bears_the_priority_for_the_journal() -> None:
    assert logged()[0] == "WARNING room: etcd is"
    assert logged(JOURNAL_STREAM="8:1")[:2] == ["<4>room: etcd is", "<4>away"]


def test_another_form_is_refused_with_those_there_are() -> None:
    larva = Path(sys.executable).with_name("larva")
    done = subprocess.run(
        [larva, "net", "list"], capture_output=True, text=True, timeout=60, env={**os.environ, "LARVA_LOG": "xml"}
    )
    assert done.returncode != 0
    assert "LARVA_LOG=xml is no form of logs" in done.stderr
    assert "text or json" in done.stderr


@given(st.text(), st.text())
def test_any_message_is_one_line_that_can_be_read(message: str, name: str) -> None:
    line = JsonFormatter().format(logging.LogRecord(name, logging.INFO, "file", 1, message, None, None))
    assert "\n" not in line
    assert (json.loads(line)["message"], json.loads(line)["logger"]) == (message, name)
