"""The bench of the control plane at its smallest: what a join costs must not depend on how many hosts there are."""

import asyncio
from unittest import mock

import pytest

from cladnet.agent import datapath_keeper
from cladnet.bench import control, original, site
from cladnet.bench.control import Fleet
from cladnet.bench.figures import Alone, Measured, Original, results
from cladnet.bench.original import rule_of

FEW, MORE = 3, 12
SIGNATURE_B = 8
"""By so much do two signatures differ in length, in base64 and two values."""


@pytest.mark.root
def test_a_join_costs_the_same_among_few_and_more_and_the_original_more_among_more() -> None:
    async def measure(place: site.Site) -> tuple[list[Measured], list[Original]]:
        found = []
        with place.store() as shared:
            fleet = Fleet(place, shared)
            for size in (FEW, MORE):
                await fleet.grow(size)
                await fleet.follow()
                found.append(await fleet.measure(joins=2, changes=2))
                await fleet.rest()
            theirs = await control._originals(fleet, [FEW, MORE])
            await fleet.close()
        return found, theirs

    with mock.patch.object(datapath_keeper, "clear"), site.running() as place:
        (few, more), (theirs_few, theirs_more) = asyncio.run(measure(place))
    assert few.transactions == more.transactions == 2  # the host's own word, and the controller's rule and claim
    assert few.reads == more.reads
    assert abs(few.stored - more.stored) <= SIGNATURE_B + len("host-0004 12") - len("host-0004 4")
    # Each of two joins is seen by every other host and by the one that joins; each change by every other host.
    assert len(few.join_s) == (FEW + 1) + (FEW + 2)
    assert len(more.change_s) == 2 * (MORE + 1)
    assert (theirs_few.transactions, theirs_more.transactions) == tuple(
        original.EVENTS * (size + 1) for size in (FEW, MORE)
    )
    assert theirs_more.stored > original.EVENTS * MORE * len(rule_of(MORE, 0))

    told = {
        result.metric: result
        for result in results([few, more], [theirs_few], Alone(resident_mb=61.0, read_mb=62.0, cpu_percent=0.5))
    }
    assert told[f"transactions a join, from {FEW} to {MORE} hosts"].meets
    assert told[f"{FEW} hosts: transactions a join"].peer_value == theirs_few.transactions
    assert told[f"agent with {MORE} peers, resident"].meets is False
