"""Topologies as TOML: a user's file, and those that ship with the lab."""

import tomllib
from collections.abc import Iterator
from dataclasses import fields
from importlib.resources import files as package_files
from pathlib import Path

from images.clouds.lab import topology_check
from images.clouds.lab.topology import Cloud, Disk, Host, Rtt, Topology
from larva import codec
from larva.errors import MalformedData


def default() -> Topology:
    """The seed's demonstration: Sydney, Changhua and London at three providers."""
    return _shipped("three-clouds.toml")


def virtual() -> Topology:
    """The same clouds with one virtual machine of the image's disk in each, and a light control node beside them."""
    return _shipped("three-vms.toml")


def load(path: Path) -> Topology:
    """Read and check a topology file.

    Raises:
        MalformedData: it cannot be read, is no TOML, or describes no possible lab; every problem is named.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), source=str(path))
    except OSError as error:
        raise MalformedData(f"{path}: {error.strerror}", hint="give the path of a topology file") from error
    except UnicodeDecodeError as error:
        raise MalformedData(f"{path}: not UTF-8 text") from error


def parse(text: str, *, source: str) -> Topology:
    """Like load, from text; `source` names it in errors."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MalformedData(f"{source}: {error}") from error
    strange = list(_unknown_keys(data))
    if strange:
        raise MalformedData(f"{source}: unknown {', '.join(strange)}", hint="see docs/lab.md for what a topology holds")
    return topology_check.check(codec.convert(data, Topology, source=source), source=source)


def _shipped(name: str) -> Topology:
    return parse(package_files(__package__).joinpath(name).read_text(), source=name)


def _unknown_keys(data: dict[str, object]) -> Iterator[str]:
    known = {"clouds": Cloud, "rtt": Rtt, "hosts": Host, "disks": Disk}

    def visit(table: dict[str, object], kind: type, where: str) -> Iterator[str]:
        names = {field.name for field in fields(kind)}
        for key, value in table.items():
            if key not in names:
                yield f"{where}{key}"
            elif key in known and isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, dict):
                        yield from visit(item, known[key], f"{where}{key}[{index}].")

    yield from visit(data, Topology, "")
