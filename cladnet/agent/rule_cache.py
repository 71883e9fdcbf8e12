"""What an agent needs to bring a CLADNet up without etcd, kept on disk, 0600."""

import logging
from dataclasses import dataclass
from pathlib import Path

from cladnet import keys
from cladnet.model import CladnetSpecification, Command, NetworkingRule
from larva import codec, files, settings
from larva.errors import MalformedData

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkView:
    """A CLADNet as one of its hosts sees it."""

    specification: CladnetSpecification
    rules: tuple[NetworkingRule, ...]
    """Of every host, this one included, by host name."""
    command: Command = Command.UP
    """What this host was asked to do."""


class RuleCache:
    """The last view of one CLADNet: `/var/lib/larva/rules/{group}.json`."""

    def __init__(self, group: str) -> None:
        self.path: Path = settings.state_directory() / "rules" / f"{keys.segment(group, what='CLADNet id')}.json"

    def load(self) -> NetworkView | None:
        """The last view; None when there is none or it cannot be read (which is logged)."""
        try:
            return codec.decode(self.path.read_bytes(), NetworkView, source=str(self.path))
        except FileNotFoundError:
            return None
        except (OSError, MalformedData) as error:
            log.warning("the cached rules are of no use: %s", error)
            return None

    def save(self, view: NetworkView) -> None:
        """Keep a view, if it differs from the kept one; a full or read-only disk is logged, and the old one stays."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.write_if_changed(self.path, codec.encode(view), mode=files.SECRET)
        except OSError as error:
            log.warning("cannot keep the rules for the next start in %s: %s", self.path, error.strerror)

    def forget(self) -> None:
        """Drop it: the CLADNet is gone, or this host left it."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot delete %s: %s", self.path, error.strerror)
