"""Ceph's complaints in plain words."""

import re
from pathlib import Path

import pytest

import cbstorage
from cbstorage.model import Health, HealthCheck
from cbstorage.wanted import health_words


@pytest.mark.parametrize("code", health_words.TABLE)
def test_every_complaint_has_a_cause_and_a_remedy(code: str) -> None:
    words = health_words.TABLE[code]
    assert re.fullmatch("[A-Z_]+", code)
    assert words.cause[0].isupper()
    assert words.cause.endswith(".")
    assert words.remedy
    assert len(words.cause) < 120 > len(words.remedy) - 60


def test_our_own_complaints_are_explained() -> None:
    source = "".join(path.read_text() for path in Path(cbstorage.__file__).parent.rglob("*.py"))
    own = set(re.findall(r'HealthCheck\(\s*code="([A-Z_]+)"', source))
    assert own
    assert own <= health_words.TABLE.keys()


def test_what_the_table_does_not_know_is_shown_as_ceph_says_it() -> None:
    found = health_words.explain(HealthCheck(code="NEW_TROUBLE", health=Health.ERROR, summary="it burns"))
    assert (found.summary, found.cause, found.remedy) == ("it burns", "", "")
