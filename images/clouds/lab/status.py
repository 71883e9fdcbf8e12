"""What a lab and its hosts look like at one moment, for people and for programs."""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address
from pathlib import Path

from images.clouds.lab.state import Forward, Phase
from images.clouds.lab.topology import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """One host of a lab as it is now."""

    name: str
    cloud: str
    provider: str
    region: str
    roles: tuple[Role, ...]
    private: IPv4Address
    public: IPv4Address
    state: str
    """`absent` (not launched), `off`, or `on`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStatus:
    """A lab as it is now."""

    run_id: str
    phase: Phase
    created_at: datetime | None
    tree: Path | None
    rtt: bool
    cut: tuple[str, ...]
    hosts: tuple[HostStatus, ...]
    forwards: tuple[Forward, ...]
