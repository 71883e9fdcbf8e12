"""What the agent does with its CLADNets when something fails in between."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cladnet.agent import agent as agent_module
from cladnet.agent.agent import Agent
from cladnet.etcd.store import Versioned
from cladnet.member import Identity, Member
from cladnet.model import EnrolledHost, Role
from larva.errors import HostUnfit


class Attached:
    """Stands for an attachment, whose data path needs a namespace; `broken` ones cannot leave."""

    broken: ClassVar[set[str]] = set()
    there: ClassVar[set[str]] = set()

    def __init__(self, store: Any, facts: Any, group: str, index: int, *, revoked: Any, ring: Any) -> None:
        self.group, self.interface = group, f"cbnet{index}"

    def start(self) -> None:
        assert self.interface not in self.there
        self.there.add(self.interface)

    def leave(self) -> None:
        if self.group in self.broken:
            raise HostUnfit(f"cannot delete {self.interface}")
        self.there.discard(self.interface)


class Record:
    """Stands for the store: one enrolment record."""

    def __init__(self, *groups: str) -> None:
        self.groups = groups

    def get(self, key: str, kind: type) -> Versioned[EnrolledHost]:
        return Versioned(
            key,
            EnrolledHost(
                host="h",
                groups=self.groups,
                roles=(Role.MEMBER,),
                certificate_serial="0",
                enrolled_at=datetime.now(UTC),
            ),
            1,
        )


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Agent, Record, Path]:
    monkeypatch.setenv("LARVA_STATE", str(tmp_path))
    monkeypatch.setattr(agent_module, "Attachment", Attached)
    Attached.broken, Attached.there = set(), set()
    record = Record("one", "two")
    member = Member(host="h", groups=("one",), roles=(Role.MEMBER,), server="https://x", etcd_endpoints=("https://x",))
    return Agent(record, member, Identity.load()), record, tmp_path / "groups.json"  # type: ignore[arg-type]


def test_a_network_that_cannot_be_left_yet_is_left_later_and_keeps_its_interface(made: Any) -> None:
    agent, record, _ = made
    agent._reconcile()
    assert Attached.there == {"cbnet0", "cbnet1"}
    Attached.broken = {"one"}
    record.groups = ("three",)
    with pytest.raises(HostUnfit):
        agent._reconcile()
    assert "cbnet0" in Attached.there
    Attached.broken = set()
    agent._reconcile()
    assert len(Attached.there) == 1


def test_a_network_is_forgotten_only_after_it_was_left(made: Any) -> None:
    agent, record, groups = made
    agent._reconcile()
    Attached.broken = {"two"}
    record.groups = ("one",)
    with pytest.raises(HostUnfit):
        agent._reconcile()
    assert "two" in json.loads(groups.read_bytes())  # an agent that is started now finds what is still to be left


def test_a_name_that_is_none_does_not_keep_the_host_out_of_the_others(made: Any) -> None:
    agent, record, _ = made
    record.groups = ("../up", "one", "UPPER", "two")
    agent._reconcile()
    assert len(Attached.there) == 2
