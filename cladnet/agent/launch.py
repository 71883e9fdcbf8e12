"""`larva agent` becomes the service: a process that has loaded what an agent needs and nothing of a command line."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from larva import codec, process

MODULE = "cladnet.agent"
COMPILED = Path("/usr/lib/larva/compiled")
"""Where the package compiles what the service imports, Python's own library included, without docstrings: 2 MB less.
Without it the service runs as everything else does; to compile at each start would take more than that saves."""
_LEAN: Mapping[str, str] = {
    "GRPC_ENABLE_FORK_SUPPORT": "0",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}
"""gRPC's readiness for a fork() that goes on with Python, which the agent never does; and mallopt(3). Left to itself
glibc raises the size from which a block is a mapping of its own with every such block that is freed; lists of a
thousand rules then come from the heap and leave holes in it. The threads wait for Python's lock, not for an arena."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the command line says."""

    metrics_at: str
    """`ADDRESS:PORT`, or `off`."""
    rotate_s: float | None = None
    """Age at which the WireGuard key is replaced."""
    settle_s: float
    """How long peers may know the next key before it is used."""


def command(terms: Terms, *, module: str = MODULE, compiled: Path = COMPILED) -> list[str]:
    """The program and its arguments.

    Args:
        compiled: see COMPILED.
    """
    flags = compiled_flags(compiled) if compiled.is_dir() else []
    return process.python_module(module, codec.encode(terms).decode(), flags=flags)


def compiled_flags(compiled: Path) -> list[str]:
    """What makes Python use, and write, what is compiled there."""
    return ["-OO", "-X", f"pycache_prefix={compiled}"]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of the service; what somebody has set already stays."""
    return {**_LEAN, **given}


def become(terms: Terms) -> NoReturn:
    """Go on as the service, in this very process."""
    words = command(terms)
    os.execve(words[0], words, environment(os.environ))  # noqa: S606 - our own program
