"""Logging for people at a terminal and for journald, which adds time and unit itself."""

import logging
import os
import sys


def set_up(*, debug: bool) -> None:
    """Send log records to standard error; under systemd with the priority prefix of sd-daemon(3)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JournalFormatter()
        if os.environ.get("JOURNAL_STREAM")
        else logging.Formatter("%(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler], force=True)
    for chatty in ("pyroute2", "urllib3", "asyncio", "gunicorn.access", "packerpy"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _JournalFormatter(logging.Formatter):
    _PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}  # noqa: RUF012

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{self._PRIORITY.get(record.levelno, 6)}>"
        lines = f"{record.name}: {super().format(record)}".splitlines()
        return "\n".join(prefix + line for line in lines)
