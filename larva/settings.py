"""Where things live: directories and the few environment variables that move them."""

import os
from pathlib import Path

CONFIG_DIRECTORY = Path("/etc/larva")
"""On an appliance: what the user or cloud-init wrote for it."""

STATE_DIRECTORY = Path("/var/lib/larva")
"""On an appliance: identity, certificates, the cached rules; 0700."""

RUN_DIRECTORY = Path("/run/larva")
"""What must not survive a reboot: sockets, the state of labs."""


def cache_directory() -> Path:
    """Build results that may be thrown away: `$LARVA_CACHE`, else `~/.cache/larva`."""
    return Path(os.environ.get("LARVA_CACHE") or Path.home() / ".cache" / "larva")


def debug() -> bool:
    """Whether `--debug` or `LARVA_DEBUG` asks for tracebacks and chatter."""
    return bool(os.environ.get("LARVA_DEBUG"))
