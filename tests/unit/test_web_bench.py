"""What the bench of the console tells of what was heard."""

from web.bench.figures import Measured, Rate, Told, delays_s, results
from web.bench.heard import Heard

S = 1_000_000_000


def test_a_probe_that_a_later_one_overtook_counts_until_that_was_heard() -> None:
    heard = Heard(probes=[(1 * S, 2 * S), (3 * S, 5 * S)])
    assert list(delays_s([1 * S, 2 * S, 3 * S, 4 * S], heard)) == [1.0, 3.0, 2.0]


def test_the_figures_are_told_beside_a_watch_and_say_when_a_page_missed_a_change() -> None:
    told = [Told("nothing else changes", [0.1] * 99 + [0.5], [0.05] * 100)]
    rates = [Rate("list", 200.0, "etcd", 400.0)]
    found = Measured(
        hosts=40, pages=50, told=told, rates=rates, empty_mb=100, open_mb=102, changed_mb=105, cpu_percent=3, missed=1,
        resyncs=0,
    )  # fmt: skip
    figures = {each.metric: each for each in results(found)}
    delay = figures["50 pages, nothing else changes: from writing to hearing, p99"]
    assert delay.p50 == 0.1
    assert delay.peer_value == 0.05
    assert figures["50 pages open: list"].ratio == 0.5
    assert figures["a page more"].value == 1024 * 5 / 50
    assert figures["pages that missed the last change"].meets is False


def test_a_listener_counts_messages_and_knows_probes_and_resyncs() -> None:
    heard = Heard()
    heard.take('{"type":"resync"}')
    heard.take('{"cladnet":"a","test":{"id":"77","trials":1},"type":"status-test"}')
    heard.take('{"cladnet":"a","row":{"id":"78"},"type":"status"}')
    assert (heard.messages, heard.resyncs, [name for name, _ in heard.probes]) == (3, 1, [77])
