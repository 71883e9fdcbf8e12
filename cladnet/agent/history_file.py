"""What was measured of a CLADNet's paths, kept on disk over restarts: `/var/lib/larva/probes/{group}.json`, 0600."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from cladnet import keys
from cladnet.agent.record import SavedPath
from larva import codec, files, settings
from larva.errors import MalformedData

log = logging.getLogger(__name__)

MOST_BYTES = 32 << 20
"""A thousand peers take half a megabyte, and all at their worst seven."""


class HistoryFile:
    """The paths of one CLADNet, by peer."""

    def __init__(self, group: str) -> None:
        self.path: Path = settings.state_directory() / "probes" / f"{keys.segment(group, what='CLADNet id')}.json"

    def load(self) -> dict[str, SavedPath]:
        """What was saved last; nothing when there is none or it cannot be read (which is logged)."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MOST_BYTES)  # what is cut off by this cannot be read
            return codec.decode(data, dict[str, SavedPath], source=str(self.path))
        except FileNotFoundError:
            return {}
        except (OSError, MalformedData) as error:
            log.warning("what was measured before is of no use: %s", error)
            return {}

    def age_s(self) -> float | None:
        """Seconds since it was saved; None when it was not."""
        try:
            return max(0.0, time.time() - self.path.stat().st_mtime)
        except OSError:
            return None

    def save(self, paths: Mapping[str, SavedPath]) -> None:
        """Keep them; a full or read-only disk is logged, and what was kept before stays."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.write_whole(self.path, codec.encode(paths), mode=files.SECRET)
        except OSError as error:
            log.warning("cannot keep what was measured in %s: %s", self.path, error.strerror)

    def forget(self) -> None:
        """Drop it: this host left the CLADNet."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot delete %s: %s", self.path, error.strerror)
