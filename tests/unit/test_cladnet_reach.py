"""How commands reach the system: a function and its route take the same, and the API is used where it was asked for."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cbstorage import reach as storage
from cladnet.reach import networks
from larva.cli import larva
from larva.errors import InvalidInput, LarvaError

TABLES = {**networks.TABLE, **storage.TABLE}
ETCD_ONLY = {("cladnet.networks", "create"): {"group"}, ("cladnet.paths", "views"): {"now"}}
"""What no command asks for; it has no place in the API."""


def taken(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """What a function takes after the Store or the Api: how each is given, and what holds where it is not."""
    there = list(inspect.signature(function).parameters.values())[1:]
    return {each.name: (each.kind, each.default) for each in there}


@pytest.mark.parametrize("function", TABLES, ids=lambda each: f"{each.__module__}.{each.__name__}")
def test_a_function_and_its_route_take_the_same(function: Callable[..., Any]) -> None:
    left_out = ETCD_ONLY.get((function.__module__, function.__name__), set())
    wanted = {name: how for name, how in taken(function).items() if name not in left_out}
    assert taken(TABLES[function]) == wanted


def test_what_the_environment_holds_for_the_api_keeps_no_command_from_etcd(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LARVA_CONFIG", str(tmp_path))
    monkeypatch.setenv("LARVA_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("LARVA_CA", str(tmp_path / "ca.pem"))
    found = CliRunner().invoke(larva, ["net", "list"]).exception
    assert isinstance(found, LarvaError)
    assert not isinstance(found, InvalidInput), "it looked for the etcd of this host, of which there is none"
    for option in ("--token-file", "--ca"):
        found = CliRunner().invoke(larva, ["net", "list", option, "x"]).exception
        assert isinstance(found, InvalidInput)
        assert "--server" in found.hint
