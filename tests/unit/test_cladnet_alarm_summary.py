"""Alarms put together for people: every alarm is told, once, in as few lines as say it."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cladnet.alarm_summary import Reported, summarise
from cladnet.quality import Alarm, AlarmKind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLOUDS = {
    "aws-1": "aws", "aws-2": "aws", "gcp-1": "gcp", "gcp-2": "gcp", "azure-1": "azure", "azure-2": "azure",
    "azure-3": "azure", "home": "", "lone": "ncloud",
}  # fmt: skip


def report(source: str, destination: str, kind: AlarmKind = AlarmKind.UNREACHABLE, seconds: int = 0) -> Reported:
    since = NOW + timedelta(seconds=seconds)
    return Reported(source=source, alarm=Alarm(kind=kind, destination=destination, since=since, evidence=f"{source}!"))


def test_a_cloud_that_is_cut_off_is_two_lines_not_two_for_each_pair_of_hosts() -> None:
    azure = [host for host, cloud in CLOUDS.items() if cloud == "azure"]
    others = CLOUDS.keys() - set(azure)
    cut = [report(source, destination, seconds=5) for source in others for destination in azure]
    (line,) = summarise(cut, CLOUDS)
    assert line.text == "azure (3 hosts) unreachable from aws, gcp, home, lone since 2026-01-01 00:00:05 UTC"
    assert (line.alarms, line.hosts) == (18, ("azure-1", "azure-2", "azure-3"))
    back = [report(source, destination) for source in azure for destination in others]
    lines = summarise([*cut, *back], CLOUDS)
    assert [each.destination for each in lines] == ["aws (2 hosts)", "gcp (2 hosts)", "home", "lone", "azure (3 hosts)"]
    assert all(each.sources == ("azure",) for each in lines[:4])


def test_a_single_host_is_told_by_its_name() -> None:
    (line,) = summarise(
        [report("aws-1", "gcp-1"), report("aws-2", "gcp-1"), report("gcp-2", "gcp-1", seconds=-9)], CLOUDS
    )
    assert line.text == "gcp-1 unreachable from aws, gcp-2 since 2025-12-31 23:59:51 UTC"
    assert line.evidence == "gcp-2!"
    (path,) = summarise([report("aws-1", "aws-2", AlarmKind.SLOW)], CLOUDS)
    assert path.text == "aws-2 slower than usual from aws-1 since 2026-01-01 00:00:00 UTC"


reports = st.lists(
    st.builds(
        report, st.sampled_from(sorted(CLOUDS)), st.sampled_from(sorted(CLOUDS)), st.sampled_from(AlarmKind),
        st.integers(0, 100),
    ),
    max_size=60,
    unique_by=lambda each: (each.source, each.alarm.destination, each.alarm.kind),
)  # fmt: skip


@given(reports, st.randoms())
def test_every_alarm_is_in_one_line_whatever_order_they_come_in(found: list[Reported], chance) -> None:
    lines = summarise(found, CLOUDS)
    assert sum(line.alarms for line in lines) == len(found)
    for each in found:
        (line,) = [
            line
            for line in lines
            if line.kind is each.alarm.kind
            and each.alarm.destination in line.hosts
            and (each.source in line.sources or CLOUDS[each.source] in line.sources)
        ]
        assert line.since <= each.alarm.since
    shuffled = list(found)
    chance.shuffle(shuffled)
    assert [line.text for line in summarise(shuffled, CLOUDS)] == [line.text for line in lines]
