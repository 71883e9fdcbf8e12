"""What commands print: a table for people, JSON for programs; and steps with their time."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from larva.codec import to_builtins

if TYPE_CHECKING:
    from rich.console import Console

P = ParamSpec("P")


@cache
def _stderr() -> "Console":
    from rich.console import Console  # loaded by whom it prints for: services and `--json` do without

    return Console(stderr=True, highlight=False)


def json_option(function: Callable[P, Any]) -> Callable[P, Any]:
    """Add `--json` to a command as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def show_json(value: object) -> None:
    """Print a value (dataclasses included) as indented JSON on standard output."""
    click.echo(json.dumps(to_builtins(value), indent=2, ensure_ascii=False))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str = "nothing there yet") -> None:
    """Print rows under their column names; `empty` when there are none."""
    if not rows:
        click.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else printable(str(cell)) for cell in row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200, markup=False)
    console.print(table)


def age(seconds: float) -> str:
    """Return an age for people."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: other machines told much of what we show."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Show on standard error that something takes its time: a spinner, then the title and its seconds."""
    started = time.monotonic()
    with _stderr().status(f"{title} …") if _stderr().is_terminal else contextlib.nullcontext():
        try:
            yield
        except BaseException:
            _stderr().print(f"[red]✗[/red] {title}  [dim]{time.monotonic() - started:.1f} s[/dim]", soft_wrap=True)
            raise
    _stderr().print(f"[green]✓[/green] {title}  [dim]{time.monotonic() - started:.1f} s[/dim]", soft_wrap=True)


def note(text: str) -> None:
    """Print a remark for people on standard error."""
    _stderr().print(text, markup=False, soft_wrap=True)


def stepped(title: str) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Run the decorated function as one `step`."""

    def decorate(function: Callable[P, Any]) -> Callable[P, Any]:
        @wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
            with step(title):
                return function(*args, **kwargs)

        return wrapper

    return decorate
