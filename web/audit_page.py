"""What the page of the audit log tells of a change: what is otherwise than before, member by member. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from larva import codec
from web.audit import Change, Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One member of a value; None where there was or is none."""

    member: str
    """`cloud.region`; empty for a value without members."""
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A key of etcd, and what is otherwise under it."""

    key: str
    differences: tuple[Difference, ...]


def told(entry: Entry) -> tuple[Told, ...]:
    """Return what an entry's changes changed."""
    return tuple(Told(key=change.key, differences=tuple(_differences(change))) for change in entry.changes)


def _differences(change: Change) -> Iterator[Difference]:
    before, after = dict(_members(change.before, "")), dict(_members(change.after, ""))
    for member in dict.fromkeys([*before, *after]):
        if before.get(member) != after.get(member):
            yield Difference(member=member, before=before.get(member), after=after.get(member))


def _members(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _members(each, f"{path}.{name}" if path else str(name))
    elif value is not None:
        yield path, value if isinstance(value, str) else codec.encode(value).decode()
