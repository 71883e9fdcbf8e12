"""Logging for people at a terminal, for journald, which adds time and unit itself, and as JSON for programs."""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum

from larva.errors import InvalidInput

_TEXT = "%(levelname)s %(name)s: %(message)s"


class LogFormat(StrEnum):
    """How records are written; `$LARVA_LOG` chooses."""

    TEXT = "text"
    """Under systemd with the priority prefix of sd-daemon(3)."""
    JSON = "json"
    """One object a line."""


def set_up(*, debug: bool) -> None:
    """Send log records to standard error, in the form that `$LARVA_LOG` names.

    Raises:
        InvalidInput: it names none.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(os.environ.get("LARVA_LOG") or LogFormat.TEXT))
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler], force=True)
    for chatty in ("pyroute2", "urllib3", "asyncio", "gunicorn.access", "packerpy"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _formatter(name: str) -> logging.Formatter:
    if name not in list(LogFormat):
        raise InvalidInput(f"LARVA_LOG={name[:40]} is no form of logs", hint=f"set it to {' or '.join(LogFormat)}")
    if name == LogFormat.JSON:
        return JsonFormatter()
    return _JournalFormatter() if os.environ.get("JOURNAL_STREAM") else logging.Formatter(_TEXT)


class JsonFormatter(logging.Formatter):
    """One JSON object a record, on one line; the exception is there if there was one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "thread": record.threadName,
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)


class _JournalFormatter(logging.Formatter):
    _PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}  # noqa: RUF012

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{self._PRIORITY.get(record.levelno, 6)}>"
        lines = f"{record.name}: {super().format(record)}".splitlines()
        return "\n".join(prefix + line for line in lines)
