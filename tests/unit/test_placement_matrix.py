"""Distances and areas: what is measured, what is guessed, which regions are logically one."""

import re

from cladnet.model import CloudFacts
from cladnet.placement.areas import distance_km, locate, table
from cladnet.placement.matrix import GUESS_ANYWHERE_MS, GUESS_BASE_MS, LOST_MS, build
from cladnet.placement.model import Candidate, Rtt


def candidate(host: str, provider: str, region: str, zone: str = "a", area: str = "") -> Candidate:
    return Candidate(host=host, cloud=CloudFacts(provider=provider, region=region, zone=zone), area=area)


SYDNEY = candidate("s1", "aws", "ap-southeast-2")
SYDNEY_TWO = candidate("s2", "aws", "ap-southeast-2", "b")
SYDNEY_GCP = candidate("s3", "gcp", "australia-southeast1")
LONDON = candidate("l1", "azure", "uksouth")
NOWHERE = candidate("n1", "private", "basement")


def cell(one: Candidate, other: Candidate, rtts: list[Rtt], *more: Candidate) -> tuple[float, bool]:
    hosts = [one, other, *more]
    matrix = build(locate(hosts, rtts), rtts)
    assert matrix.ms[0][1] == matrix.ms[1][0]
    assert matrix.ms[0][0] == 0.0
    return matrix.ms[0][1], matrix.is_measured(1, 0)


def test_the_larger_direction_counts() -> None:
    rtts = [Rtt(between=("s1", "l1"), ms=263.0), Rtt(between=("l1", "s1"), ms=280.0)]
    assert cell(SYDNEY, LONDON, rtts) == (280.0, True)


def test_a_pair_that_never_answers_is_as_far_as_the_test_waits() -> None:
    assert cell(SYDNEY, LONDON, [Rtt(between=("s1", "l1"), ms=None)]) == (LOST_MS, True)


def test_the_narrower_statement_counts() -> None:
    regions = Rtt(between=("azure/uksouth", "aws/ap-southeast-2"), ms=270.0)
    zones = Rtt(between=("aws/ap-southeast-2/a", "azure/uksouth/a"), ms=265.0)
    hosts = Rtt(between=("s1", "l1"), ms=263.0)
    assert cell(SYDNEY, LONDON, [regions]) == (270.0, True)
    assert cell(SYDNEY, LONDON, [regions, zones]) == (265.0, True)
    assert cell(SYDNEY, LONDON, [hosts, zones, regions]) == (263.0, True)
    assert cell(SYDNEY_TWO, LONDON, [zones]) == (265.0, False)


def test_a_missing_pair_takes_the_largest_of_its_like() -> None:
    other = candidate("s4", "aws", "ap-southeast-2", "a")
    rtts = [
        Rtt(between=("s4", "l1"), ms=270.0),
        Rtt(between=("s2", "l1"), ms=290.0),
        Rtt(between=("s3", "l1"), ms=None),
    ]
    assert cell(SYDNEY, LONDON, rtts, other, SYDNEY_TWO, SYDNEY_GCP) == (270.0, False)
    assert cell(SYDNEY, LONDON, rtts, SYDNEY_TWO, SYDNEY_GCP) == (290.0, False)
    assert cell(SYDNEY_GCP, LONDON, rtts[:2], SYDNEY, SYDNEY_TWO, other) == (290.0, False)


def test_with_nothing_measured_the_guess_is_above_what_was_ever_measured() -> None:
    sydney_london, measured = cell(SYDNEY, LONDON, [])
    assert not measured
    assert 280.0 < sydney_london < GUESS_ANYWHERE_MS
    assert cell(SYDNEY, SYDNEY_GCP, []) == (GUESS_BASE_MS, False)
    assert cell(SYDNEY, NOWHERE, []) == (GUESS_ANYWHERE_MS, False)


def test_the_table_puts_providers_of_one_city_together() -> None:
    assert {site.area for site in locate([SYDNEY, SYDNEY_TWO, SYDNEY_GCP], [])} == {"sydney"}
    assert locate([LONDON], [])[0].area == "london"
    assert locate([candidate("x", "aws", "ap-southeast-2", area="bunker")], [])[0].area == "bunker"


def test_an_unknown_region_is_where_it_is_near() -> None:
    near = [Rtt(between=("n1", "s1"), ms=3.0), Rtt(between=("n1", "l1"), ms=260.0)]
    assert locate([NOWHERE, SYDNEY, LONDON], near)[0].area == "sydney"
    assert locate([NOWHERE, SYDNEY], [Rtt(between=("n1", "s1"), ms=8.0)])[0].area == "private/basement"
    assert locate([NOWHERE, SYDNEY], [Rtt(between=("n1", "s1"), ms=None)])[0].area == "private/basement"


def test_unknown_regions_chain() -> None:
    other = candidate("n2", "private", "attic")
    link = Rtt(between=("private/attic", "n1"), ms=2.0)
    assert {site.area for site in locate([NOWHERE, other], [link])} == {"private/attic"}
    chained = locate([NOWHERE, other, SYDNEY], [link, Rtt(between=("n2", "s1"), ms=4.0)])
    assert {site.area for site in chained} == {"sydney"}


def test_the_table_of_areas_is_sound() -> None:
    regions = [region for area in table().values() for region in area.regions]
    assert len(regions) == len(set(regions))
    assert all(re.fullmatch(r"[a-z]+/[A-Za-z0-9-]+", region) for region in regions)
    for name, area in table().items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert area.regions
        assert -60 < area.latitude < 70
        assert -180 <= area.longitude <= 180


def test_distance_on_the_globe() -> None:
    sydney_london = distance_km("sydney", "london")
    assert sydney_london is not None
    assert abs(sydney_london - 16_990) < 100
    assert distance_km("sydney", "sydney") == 0.0
    assert distance_km("sydney", "private/basement") is None
