"""What a command calls: `system(networks.find, "shop")` is done over etcd, or by the route that a table has for it."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import click
from click.core import ParameterSource

from cladnet.etcd.store import Store
from cladnet.reach.api import Api, read_token
from larva.errors import InvalidInput

P = ParamSpec("P")
T = TypeVar("T")

Table = Mapping[Callable[..., Any], Callable[..., Any]]
"""By a function whose first argument is a Store, one that does the same with an Api in its place."""

_MARK = "reaches_through_api"
_META = "larva.reach"
_TYPED = "typed"
"""Set where an option of the API was typed, without which --server is missed: the environment may hold them for all."""


class System(Protocol):
    """The system, however it is reached."""

    def __call__(self, function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function of a Store returns for these arguments."""


Reach = Callable[[], AbstractContextManager[System]]


class OverEtcd:
    """The system from a control node."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function."""
        return function(self._store, *args, **kwargs)


class ThroughApi:
    """The system from anywhere."""

    def __init__(self, api: Api, table: Table) -> None:
        self._api = api
        self._table = table

    def __call__(self, function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what the table has for the function."""
        found: Callable[Concatenate[Api, P], T] | None = self._table.get(function)
        if found is None:
            raise not_through_api(f"this part of the command ({function.__name__})")
        return found(self._api, *args, **kwargs)


def reaching(table: Table) -> Callable[[Callable[Concatenate[Reach, P], T]], Callable[P, T]]:
    """Give a command the options that say how the system is reached, and the way as its first argument."""

    def add(function: Callable[Concatenate[Reach, P], T]) -> Callable[P, T]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            told: dict[str, Any] = click.get_current_context().meta.get(_META, {})
            return function(functools.partial(_reached, table, dict(told)), *args, **kwargs)

        for option in _options(_remember, hidden=False):
            option(run)
        setattr(run, _MARK, True)
        return run

    return add


class ReachingGroup(click.Group):
    """A group whose commands all take the options; one that has no way through the API refuses them in words."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, and to each below it that needs etcd the refusal."""
        _refuse_below(cmd)
        super().add_command(cmd, name)


def not_through_api(what: str) -> InvalidInput:
    """What to raise where the API has no route."""
    return InvalidInput(f"{what} does not go through the API", hint="run it on a control node, without --server")


@contextlib.contextmanager
def _reached(table: Table, told: Mapping[str, Any]) -> Iterator[System]:
    server, token_file, ca = (told.get(name) for name in ("server", "token_file", "ca"))
    if server is None:
        if told.get(_TYPED):
            raise InvalidInput("--token-file and --ca are of the API", hint="give --server https://ADDRESS:PORT, too")
        with Store.of_this_host() as store:
            yield OverEtcd(store)
        return
    if token_file is None:
        raise InvalidInput("--server wants an access token", hint="--token-file FILE; `larva console token` makes one")
    yield ThroughApi(Api(server, read_token(Path(token_file)), Path(ca) if ca is not None else None), table)


def _refuse_below(command: click.Command) -> None:
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _refuse_below(each)
    elif not getattr(command.callback, _MARK, False) and not any(each.name == "server" for each in command.params):
        for option in _options(_refuse, hidden=True):
            option(command)


def _options(callback: Callable[..., None], *, hidden: bool) -> Iterator[Callable[[Any], Any]]:
    for flag, variable, metavar, words in (
        ("--ca", "LARVA_CA", "FILE", "The only CA that the server's certificate may be of, in PEM."),
        ("--token-file", "LARVA_TOKEN_FILE", "FILE", "What holds the access token."),
        ("--server", "LARVA_SERVER", "URL", "Work through the API of a console, from anywhere."),
    ):
        yield click.option(
            flag, envvar=variable, show_envvar=not hidden, metavar=metavar, help=words, hidden=hidden,
            expose_value=False, callback=callback,
        )  # fmt: skip


def _remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    told = context.meta.setdefault(_META, {})
    told[parameter.name] = value
    if parameter.name != "server" and context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE:
        told[_TYPED] = True


def _refuse(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None and parameter.name == "server":
        raise not_through_api(f"`{context.command_path}`")
