"""What the audit log's page tells of a change, from values to values."""

from datetime import UTC, datetime
from typing import Any

import pytest

from web import audit
from web.audit import Change, Doing, Wanted
from web.audit_page import Difference, told

DOING = Doing(user="kim", address="::1", action="users.create", method="POST", path="/v1/users")


def differences(before: Any, after: Any) -> list[tuple[str, str | None, str | None]]:
    (found,) = told(audit.entry(DOING, [Change(key="larva/thing", before=before, after=after)], more=0))
    return [(one.member, one.before, one.after) for one in found.differences]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, {"role": "viewer"}, [("role", None, "viewer")]),
        ({"role": "viewer"}, None, [("role", "viewer", None)]),
        ({"role": "viewer", "n": 1}, {"role": "admin", "n": 1}, [("role", "viewer", "admin")]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, [("a.c", "2", "3")]),
        ({"a": [1]}, {"a": [1, 2]}, [("a", "[1]", "[1,2]")]),
        ({"a": None}, {"a": False}, [("a", None, "false")]),
        ({"a": {}}, {"a": {"b": 1}}, [("a", "{}", None), ("a.b", None, "1")]),
        ("old", "new", [("", "old", "new")]),
        ({"a": 1}, {"a": 1}, []),
    ],
)
def test_what_is_otherwise_is_told_and_nothing_else(before: Any, after: Any, expected: list[object]) -> None:
    assert differences(before, after) == expected


def test_each_key_is_told_by_itself() -> None:
    entry = audit.entry(DOING, [Change(key=key, before=None, after=key) for key in "ab"], more=3)
    assert [(each.key, each.differences) for each in told(entry)] == [
        (key, (Difference(member="", before=None, after=key),)) for key in "ab"
    ]


def test_a_time_has_a_first_moment_and_no_last() -> None:
    entry = audit.entry(DOING, [], more=0)
    assert Wanted(since=entry.at).in_time(entry.id)
    assert not Wanted(until=entry.at).in_time(entry.id)
    assert not Wanted(before=entry.id).in_time(entry.id)
    assert Wanted(since=datetime(1, 1, 1, tzinfo=UTC), until=datetime(9999, 1, 1, tzinfo=UTC)).in_time(entry.id)


@pytest.mark.parametrize(
    ("wanted", "is_told"),
    [
        (Wanted(), True), (Wanted(user="kim", action="users."), True), (Wanted(user="lee"), False),
        (Wanted(action="volumes."), False),
    ],
)  # fmt: skip
def test_an_entry_is_told_to_who_asks_for_it(wanted: Wanted, is_told: bool) -> None:
    assert wanted.told(audit.entry(DOING, [], more=0)) == is_told
