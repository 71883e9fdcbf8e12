"""What a volume's data outlives: promised when the volume is created, and kept by a pool of its own."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from cladnet.placement.model import Survive

Home = Annotated[str, Meta(pattern=r"\A([A-Za-z0-9_-]{1,60}(/[A-Za-z0-9_-]{1,60})?)?\Z")]
"""A provider, or `provider/region`, in CRUSH's letters; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What is outlived, and where the writer is."""

    survive: Survive
    """The widest single failure after which the data is there and writes go on."""
    home: Home = ""
    """Where the first copy of everything is, which answers reads and takes writes."""

    @property
    def label(self) -> str:
        """The promise as the end of a pool's name, in letters that capabilities bear unquoted."""
        survive = self.survive.replace("+", "-and-")
        return f"{survive}.home.{self.home.replace('/', '.')}" if self.home else survive

    def __str__(self) -> str:
        """In the words of the command line."""
        return f"{self.survive}, home {self.home}" if self.home else str(self.survive)
