"""What is done to a single OSD: a step at a time, from what is seen, wherever the one before broke off."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.ceph.answers import OsdEntry, OsdMap, PoolEntry
from cbstorage.ceph.osds import NOBODY, Fill, GroupQuery
from cbstorage.commands import osd as command
from cbstorage.host import osd_retire
from cbstorage.host.osd import EMPTIED, FORGOTTEN, Record
from cbstorage.leading import osd_losses, osd_moves, osd_plan
from cbstorage.leading.osd_keeper import full_weight
from cbstorage.leading.osd_losses import Standing
from cbstorage.leading.osd_moves import Move
from cbstorage.leading.osd_plan import Act, Facts, Step
from cbstorage.osd_model import OsdGoal, OsdPhase, OsdProgress, OsdWish
from larva.errors import InvalidInput, NotFound

UUID = "5248e297-0307-4aad-a81e-d3b7ee2f8cd4"
ASKED = "11111111-2222-3333-4444-555555555555"
EARLIER = "99999999-2222-3333-4444-555555555555"


def wish(goal: OsdGoal = OsdGoal.REMOVED, *, lost: bool = False) -> OsdWish:
    return OsdWish(
        group="g", osd=3, uuid=UUID, host="aws-1", goal=goal, lost=lost, asked=ASKED, asked_at=datetime.now(UTC)
    )


def progress(phase: OsdPhase, asked: str = ASKED) -> OsdProgress:
    return OsdProgress(osd=3, uuid=UUID, asked=asked, phase=phase)


@dataclass
class World:
    """A cluster with one OSD of which something is wanted, and the host that it is on."""

    wanted: OsdWish | None
    there: bool = True
    up: bool = True
    weighs: bool = True
    groups: int = 2
    on_host: bool = True
    running: bool = True
    told: OsdProgress | None = None
    done: list[Act] = field(default_factory=list)

    def facts(self) -> Facts:
        return Facts(
            there=self.there, up=self.up, weighs=self.weighs, on_host=self.on_host,
            groups=self.groups if self.up and not self.weighs else None,
        )  # fmt: skip

    def lead(self, *, killed_before_the_act: bool) -> None:
        """The leading host's look; it may be killed right after it said what it does."""
        if self.wanted is None:
            if self.told is not None:
                if osd_plan.restores(self.told, self.facts()):
                    self.weighs = True
                self.told = None
            return
        step = osd_plan.step(self.wanted, self.facts(), self.told)
        if step.act is Act.FORGET:
            self.wanted = self.told = None
            return
        self.told = progress(step.phase)
        if not killed_before_the_act:
            self.act(step)

    def act(self, step: Step) -> None:
        self.done.append(step.act)
        if step.act is Act.WEIGH_NOTHING:
            self.weighs = False
        elif step.act is Act.PURGE:
            assert not self.up, "monitors refuse this"
            assert self.groups == 0, "data would be gone"
            self.there = False

    def settle(self) -> None:
        """Time goes by: data moves to where it belongs."""
        if self.there and self.up:
            self.groups = 2 if self.weighs else max(0, self.groups - 1)

    def host(self) -> None:
        """The host's look."""
        record = Record(device=Path("/dev/vdb"), uuid=UUID, key="", osd_id=3, made=True)
        if self.on_host and osd_retire.is_ending(record, self.wanted, self.told):
            self.running = self.up = False
            if not self.there and self.wanted is not None:
                self.on_host = False
        elif self.on_host and self.there:
            self.running = self.up = True


MOVES = st.lists(st.sampled_from(["lead", "killed", "settle", "host", "crash", "undo"]), max_size=40)


@given(MOVES)
def test_no_order_of_breaks_loses_data_and_all_come_to_the_end(moves: list[str]) -> None:
    world = World(wanted=wish())
    for move in moves:
        if move == "undo" and world.there and world.on_host:
            world.wanted = None
        if move == "crash":
            world.up = False
        step(world, move)
        assert world.there or world.groups == 0
        assert world.on_host or not world.there
    for _ in range(8):
        for move in ("host", "lead", "settle"):
            step(world, move)
    assert world.wanted is None
    if world.there:
        assert (world.weighs, world.up, world.groups) == (True, True, 2)
    else:
        assert not world.on_host


def step(world: World, move: str) -> None:
    if move in ("lead", "killed"):
        world.lead(killed_before_the_act=move == "killed")
    elif move == "settle":
        world.settle()
    elif move == "host":
        world.host()


@pytest.mark.parametrize(
    ("facts", "before", "act", "phase"),
    [
        (Facts(there=True, up=True, weighs=True), None, Act.WEIGH_NOTHING, OsdPhase.DRAINING),
        (Facts(there=True, up=True, weighs=True, refusal="no room"), None, Act.NONE, OsdPhase.REFUSED),
        (Facts(there=True, up=True), None, Act.NONE, OsdPhase.DRAINING),
        (Facts(there=True, up=True, groups=1), OsdPhase.STOPPING, Act.NONE, OsdPhase.DRAINING),
        (Facts(there=True, up=True, groups=0, pinned=True), None, Act.NONE, OsdPhase.DRAINING),
        (Facts(there=True, up=True, groups=0), None, Act.NONE, OsdPhase.STOPPING),
        (Facts(there=True), None, Act.NONE, OsdPhase.DRAINING),
        (Facts(there=True), OsdPhase.STOPPING, Act.PURGE, OsdPhase.STOPPING),
        (Facts(there=True, pinned=True), OsdPhase.STOPPING, Act.NONE, OsdPhase.DRAINING),
        (Facts(there=False, on_host=True), OsdPhase.STOPPING, Act.NONE, OsdPhase.GONE),
        (Facts(there=False), OsdPhase.GONE, Act.FORGET, OsdPhase.GONE),
    ],
)
def test_a_removal_s_steps(facts: Facts, before: OsdPhase | None, act: Act, phase: OsdPhase) -> None:
    found = osd_plan.step(wish(), facts, progress(before) if before else None)
    assert (found.act, found.phase) == (act, phase)


def test_what_was_found_for_an_earlier_wish_proves_nothing() -> None:
    stale = progress(OsdPhase.STOPPING, EARLIER)
    assert osd_plan.step(wish(), Facts(there=True), stale).act is Act.NONE
    record = Record(device=Path("/dev/vdb"), uuid=UUID, key="", osd_id=3, made=True)
    assert not osd_retire.is_ending(record, wish(), stale)


@pytest.mark.parametrize(
    ("record", "wanted", "told", "ending"),
    [
        (UUID, wish(), progress(OsdPhase.STOPPING), True),
        (UUID, wish(), progress(OsdPhase.GONE), True),
        (UUID, wish(), progress(OsdPhase.DRAINING), False),
        (UUID, wish(), None, False),
        (UUID, None, progress(OsdPhase.STOPPING), False),
        (UUID, wish(OsdGoal.DRAINED), progress(OsdPhase.STOPPING), False),
        (EARLIER, wish(), progress(OsdPhase.STOPPING), False),
        (UUID, wish(lost=True), progress(OsdPhase.REFUSED), False),
    ],
)
def test_a_host_stops_only_what_is_meant(
    record: str, wanted: OsdWish | None, told: OsdProgress | None, ending: bool
) -> None:
    found = Record(device=Path("/dev/vdb"), uuid=record, key="", osd_id=3, made=True)
    assert osd_retire.is_ending(found, wanted, told) is ending


@pytest.mark.parametrize("retired", [FORGOTTEN, EMPTIED])
def test_what_is_retired_stays_so(retired: str) -> None:
    found = Record(device=Path("/x"), uuid=UUID, key="", osd_id=3, made=True, retired=retired)
    assert osd_retire.is_ending(found, None, None)


def test_a_lost_osd_is_purged_only_while_it_is_down_and_missed_by_nobody() -> None:
    lost = wish(lost=True)
    assert osd_plan.step(lost, Facts(there=True, up=True, weighs=True), None).phase is OsdPhase.REFUSED
    assert osd_plan.step(lost, Facts(there=True, weighs=True, loss="data"), None).phase is OsdPhase.REFUSED
    assert osd_plan.step(lost, Facts(there=True, weighs=True), None).act is Act.PURGE


@pytest.mark.parametrize(
    ("facts", "act"),
    [
        (Facts(there=True), Act.DESTROY),
        (Facts(there=False, on_host=True), Act.NONE),
        (Facts(there=False), Act.NONE),
        (Facts(there=False, successor=True), Act.WEIGH),
        (Facts(there=False, successor=True, weighs=True), Act.FORGET),
    ],
)
def test_a_replaced_osd_keeps_its_number_and_place(facts: Facts, act: Act) -> None:
    assert osd_plan.step(wish(OsdGoal.REPLACED), facts, progress(OsdPhase.STOPPING)).act is act
    assert osd_plan.step(wish(OsdGoal.REPLACED, lost=True), Facts(there=True, weighs=True), None).act is Act.DESTROY


def osd_map(*up: int, size: int = 3, min_size: int = 2) -> OsdMap:
    return OsdMap(
        osds=tuple(OsdEntry(osd=osd, uuid=UUID, up=int(osd in up)) for osd in range(5)),
        pools=(PoolEntry(pool=2, pool_name="data", size=size, min_size=min_size, crush_rule=0, pg_num=2),),
    )


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        ([GroupQuery(state="active+clean", acting=(0, 1, 2))], ""),
        ([GroupQuery(state="active+undersized", acting=(0, 1))], ""),
        ([GroupQuery(state="active+undersized", acting=(0, NOBODY, 3))], "least number of copies"),
        ([GroupQuery(state="active+undersized", acting=(0, 4))], "least number of copies"),
        ([GroupQuery(state="peering", acting=(0, 1, 2))], "not active"),
        ([None], "does not answer"),
        ([GroupQuery(state="down"), GroupQuery(state="down")], "2.0 and 1 more of data"),
    ],
)
def test_what_a_lost_osd_would_cost(queries: list[GroupQuery | None], said: str) -> None:
    standings = [Standing(group=f"2.{n}", pool="data", query=query) for n, query in enumerate(queries)]
    found = osd_losses.judge(3, standings, osd_map(0, 1, 2))
    assert (said in found) if said else found == ""


SHOWN = """osdmaptool: osdmap file '/tmp/x'
pool 2 pg_num 2
2.0\traw ([1,3,2], p1) up ([1,3,2], p1) acting ([1,3,2], p1)
2.1\traw ([3,2147483647], p3) up ([3,2147483647], p3) acting ([], p-1)
#osd\tcount\tfirst\tprimary\tc wt\twt
"""


def test_osdmaptool_is_read() -> None:
    assert osd_moves.parse(SHOWN) == {"2.0": (1, 3, 2), "2.1": (3,)}


GIB = 1 << 30
MOVE = Move(now={"2.0": (0, 1, 3), "2.1": (0, 2, 4)}, then={"2.0": (0, 1, 4), "2.1": (0, 2, 4)})


@pytest.mark.parametrize(
    ("move", "fills", "said"),
    [
        (MOVE, {3: Fill(total=10 * GIB, used=GIB), 4: Fill(total=10 * GIB, used=GIB)}, ""),
        (
            MOVE,
            {3: Fill(total=10 * GIB, used=GIB), 4: Fill(total=10 * GIB, used=8 * GIB)},
            "9GB of 10GB, more than 85%",
        ),
        (MOVE, {3: Fill(total=10 * GIB, used=GIB)}, "osd.4, which would take a part"),
        (MOVE, {4: Fill(total=10 * GIB, used=GIB)}, "osd.3 does not say"),
        (Move(now={"2.0": (0, 1, 3)}, then={"2.0": (0, 1)}), {}, "there is room for 2"),
        (Move(now={"2.0": (0, 1)}, then={"2.0": (0, 1)}), {}, ""),
    ],
)
def test_draining_needs_room_elsewhere(move: Move, fills: dict[int, Fill], said: str) -> None:
    found = osd_moves.refusal(3, move, osd_map(0, 1, 2, 3, 4), fills)
    assert (said in found) if said else found == ""


def test_a_weight_follows_from_the_size() -> None:
    assert full_weight(str(1 << 40)) == 1
    assert full_weight("1") == pytest.approx(0.0001)
    with pytest.raises(NotFound):
        full_weight("")


@pytest.mark.parametrize(("text", "number"), [("3", 3), ("osd.12", 12)])
def test_an_osd_is_named_by_its_number(text: str, number: int) -> None:
    assert command.number(text) == number


@pytest.mark.parametrize("text", ["", "osd.", "-1", "x", "osd.osd.1", "²", "1234567", "1 2"])
def test_what_is_no_osd_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        command.number(text)
