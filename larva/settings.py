"""Where things live: directories and the few environment variables that move them."""

import os
from pathlib import Path

RUN_DIRECTORY = Path("/run/larva")
"""What must not survive a reboot: sockets, the state of labs."""


def config_directory() -> Path:
    """On an appliance, what the user or cloud-init wrote for it: `$LARVA_CONFIG`, else `/etc/larva`."""
    return Path(os.environ.get("LARVA_CONFIG") or "/etc/larva")


def state_directory() -> Path:
    """On an appliance, identity, certificates, cached rules: `$LARVA_STATE`, else `/var/lib/larva`."""
    return Path(os.environ.get("LARVA_STATE") or "/var/lib/larva")


def cache_directory() -> Path:
    """Build results that may be thrown away: `$LARVA_CACHE`, else `~/.cache/larva`."""
    return Path(os.environ.get("LARVA_CACHE") or Path.home() / ".cache" / "larva")


def debug() -> bool:
    """Whether `--debug` or `LARVA_DEBUG` asks for tracebacks and chatter."""
    return bool(os.environ.get("LARVA_DEBUG"))
