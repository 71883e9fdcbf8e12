"""Whatever a host says of its paths, whoever lists them gets an answer that can be printed and sent."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Self

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cladnet import paths
from cladnet.alarm_summary import Reported, summarise
from cladnet.commands import net_quality
from cladnet.etcd.store import Store, Versioned
from cladnet.paths import Alarms
from cladnet.quality import Alarm, AlarmKind, Figures, HostQuality, PairQuality, Window
from larva import codec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EDGES = [
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-14))), NOW,
]  # fmt: skip
moments = st.sampled_from(EDGES)
names = st.sampled_from(["a", "b", "c", "nobody", "\x1b[2J", ""])
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
figures = st.builds(
    Figures, sent=st.integers(-5, 2**63), received=st.integers(-5, 2**63), min_ms=numbers, avg_ms=numbers,
    p95_ms=numbers, jitter_ms=numbers,
)  # fmt: skip
pairs = st.builds(
    PairQuality, destination=names, measured_at=st.none() | moments, answered_at=st.none() | moments,
    windows=st.dictionaries(st.sampled_from(Window), figures),
)  # fmt: skip
alarms = st.builds(Alarm, kind=st.sampled_from(AlarmKind), destination=names, since=moments, evidence=st.text())
rows = st.builds(
    HostQuality, host=st.sampled_from("abc"), written_at=moments, pairs=st.lists(pairs, max_size=3).map(tuple),
    alarms=st.lists(alarms, max_size=4).map(tuple),
)  # fmt: skip


class Told:
    """Stands for the store: rows by host, and no rule but those of a and b."""

    def __init__(self, found: list[HostQuality]) -> None:
        self._found = {row.host: row for row in found}

    def children(self, prefix: str, _kind: type) -> dict[str, Versioned[HostQuality]]:
        return {host: Versioned(prefix + host, row, 1) for host, row in self._found.items()}


@given(st.lists(rows, max_size=3), st.sampled_from(Window))
def test_anything_can_be_listed(found: list[HostQuality], window: Window) -> None:
    told = paths.views(Told(found), "mesh", window, NOW)  # type: ignore[arg-type]
    assert len(codec.encode(told)) > 0
    net_quality._show_quality(told)
    now = paths._alarms({row.host: row for row in found}, {"a": "aws", "b": "aws"}, NOW)
    assert len(codec.encode(now)) > 0
    assert {each.destination for each in now.alarms} <= {"a", "b"}
    assert all(line.text for line in now.summary)
    assert sum(line.alarms for line in now.summary) <= len(now.alarms)


def following(*states: tuple[Reported, ...]) -> Any:
    def play(_store: object, _group: str) -> Iterator[Alarms]:
        return iter([Alarms(summary=summarise(state, {"a": "", "b": "", "c": ""})) for state in states])

    return play


def test_who_watches_is_told_what_is_raised_and_what_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Alarm(kind=AlarmKind.UNREACHABLE, destination="c", since=NOW, evidence="3 echoes")
    one, two = Reported(source="a", alarm=lost), Reported(source="b", alarm=lost)
    monkeypatch.setattr(paths, "following", following((), (one,), (one, two), ()))

    class Host:
        id = "mesh"

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(Store, "of_this_host", Host)
    monkeypatch.setattr(net_quality.networks, "find", lambda *_: Host)
    lines = [
        line.split(" ", 1)[1] for line in CliRunner().invoke(net_quality.alarms, ["m", "--watch"]).output.splitlines()
    ]
    since = "since 2026-01-01 00:00:00 UTC"
    assert lines == [
        "no alarm",
        f"raised: c unreachable from a {since}",
        f"raised: c unreachable from a, b {since}",
        f"cleared: c unreachable from a {since}",
        f"cleared: c unreachable from a, b {since}",
    ]
    told = CliRunner().invoke(net_quality.alarms, ["m", "--watch", "--json"]).output.splitlines()
    assert [[len(json.loads(line)[word]) for word in ("raised", "cleared")] for line in told] == [
        [0, 0], [1, 0], [1, 1], [0, 1],
    ]  # fmt: skip
