"""How VMs are launched so that they join by themselves: by each provider's command, by Terraform, by CB-Tumblebug."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

from larva import codec

TABLE = Path(__file__).with_name("launches.toml")
ROOT_DISK_GIB = 10
ROOT_DISK_ANYWHERE_GIB = 50
"""Where the provider is not known yet: Oracle takes no smaller one, the others do."""
_JOIN = (
    "echo {content} | base64 -d | sudo install -D -m 600 /dev/stdin {path} "
    "&& sudo systemctl restart --no-block larva-boot.service"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One provider's way; words in capitals are the reader's to fill in."""

    provider: str
    title: str
    command: str
    """Reads the user-data from user-data.yaml."""
    terraform: str
    """The same as a resource of the provider's; empty where none is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A table of launches.toml, which explains the fields."""

    title: str
    command: str
    terraform: str
    sources: tuple[str, ...]


@cache
def table() -> Mapping[str, Way]:
    """Every provider's way, by the provider's name."""
    return codec.read_toml(TABLE, dict[str, Way])


def of_providers(count: int) -> tuple[Launch, ...]:
    """Return how so many VMs are launched at each provider."""
    return tuple(
        Launch(
            provider=name, title=way.title, command=_filled(way.command, count), terraform=_filled(way.terraform, count)
        )
        for name, way in table().items()
    )  # fmt: skip


def _filled(text: str, count: int) -> str:
    """The shell's own dollars stay."""
    return Template(text.strip()).safe_substitute(count=count, gib=ROOT_DISK_GIB)


def tumblebug(join_toml: str, path: str, count: int) -> str:
    """Return the body of CB-Tumblebug's `POST /ns/{nsId}/infraDynamic`, which has no field for user-data.

    The join file goes by its `postCommands` instead, which it runs by SSH once the VMs are there.
    """
    content = base64.b64encode(join_toml.encode()).decode()
    body = {
        "name": "INFRA",
        "nodeGroups": [
            {"name": "GROUP", "specId": "SPEC", "imageId": "IMAGE", "nodeGroupSize": count,
             "rootDiskSize": ROOT_DISK_ANYWHERE_GIB},
        ],
        "postCommands": [{"command": [_JOIN.format(content=content, path=path)], "userName": "cb-user"}],
    }  # fmt: skip
    return json.dumps(body, indent=2)
