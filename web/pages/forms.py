"""Reading of HTML forms; what was typed is kept when it is refused."""

from enum import StrEnum
from typing import TypeVar

from flask import request

from larva.errors import InvalidInput

E = TypeVar("E", bound=StrEnum)


def field(name: str, default: str = "") -> str:
    """Return what was typed into a field, without blanks around it."""
    return request.form.get(name, default).strip()


def integer(name: str, *, what: str) -> int:
    """Return a whole number that was typed; InvalidInput, naming `what`, for anything else."""
    typed = field(name)
    try:
        return int(typed)
    except ValueError as error:
        raise InvalidInput(f"{what}: {typed!r} is not a whole number", hint="use digits only") from error


def decimal(name: str, *, what: str) -> float:
    """Return a finite number that was typed; InvalidInput, naming `what`, for anything else."""
    typed = field(name)
    try:
        number = float(typed)
    except ValueError as error:
        raise InvalidInput(f"{what}: {typed!r} is not a number", hint="use digits, as 10 or 0.5") from error
    if not -1e12 < number < 1e12:
        raise InvalidInput(f"{what}: {typed!r} is out of bounds")
    return number


def choice(name: str, kind: type[E], *, what: str) -> E:
    """Return the one that was chosen; InvalidInput, naming `what`, for one that is not offered."""
    typed = field(name)
    try:
        return kind(typed)
    except ValueError as error:
        raise InvalidInput(f"{what}: {typed!r} is not offered", hint=f"choose: {', '.join(kind)}") from error


def choices(name: str, kind: type[E], *, what: str) -> tuple[E, ...]:
    """Return all that were ticked; InvalidInput, naming `what`, for one that is not offered."""
    try:
        return tuple(kind(each) for each in request.form.getlist(name))
    except ValueError as error:
        raise InvalidInput(f"{what}: {error}", hint=f"choose: {', '.join(kind)}") from error


def own_path(wanted: str) -> str:
    """Return a path of this console to go to afterwards; nothing for an address of somebody else."""
    plain = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted and wanted.isprintable()
    return wanted if plain else ""
