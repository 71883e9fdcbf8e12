"""What commands print of promises: never a write's cost without the time of the distances it was made of."""

from datetime import UTC, datetime, timedelta

import pytest

from cbstorage.ceph.write_latency import WriteLatency
from cbstorage.commands import promise_words
from cbstorage.wanted.promises import Option, Preview
from cladnet.placement.model import Survive


def preview(measured_at: datetime | None) -> Preview:
    cost = WriteLatency(expected_ms=20.0, worst_ms=40.0)
    option = Option(survive=Survive.CSP, missing="", write=cost, unwise=False)
    return Preview(
        home="", options=(option,), copies=3, needed=2, measured_at=measured_at, remarks=("remark",), homes=()
    )


def test_old_distances_are_told_with_their_time(capsys: pytest.CaptureFixture) -> None:
    at = datetime.now(UTC) - timedelta(days=3, minutes=1)
    promise_words.show(preview(at))
    told = capsys.readouterr()
    assert "20" in told.out
    assert f"measured 3 d ago ({at:%Y-%m-%d %H:%M} UTC)" in told.err
    assert "larva net status" in told.err


def test_of_what_was_never_measured_no_time_is_told(capsys: pytest.CaptureFixture) -> None:
    promise_words.show(preview(None))
    assert "measured" not in capsys.readouterr().err
