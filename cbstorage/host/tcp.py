"""The kernel's patience on a storage host: a path that comes back must be tried again within seconds."""

import logging
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger(__name__)

SETTINGS: Mapping[str, str] = {"net/ipv4/tcp_syn_retries": "2"}
"""With the default of 6 a connection attempted during a cut waits up to 64 s for its next try (tcp(7))."""


def tune(root: Path = Path("/proc/sys")) -> None:
    """Apply the settings; a kernel that refuses costs time after a cut, nothing else."""
    for name, value in SETTINGS.items():
        path = root / name
        try:
            if path.read_text().strip() != value:
                path.write_text(value)
                log.info("%s is now %s", name.replace("/", "."), value)
        except OSError as error:
            log.warning("%s cannot be set to %s: %s", name.replace("/", "."), value, error.strerror)
