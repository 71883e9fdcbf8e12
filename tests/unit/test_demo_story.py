"""The story's own honesty: what it needs, what it writes, and what it takes for proof."""

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from images.clouds.lab import topology, topology_toml
from images.demo import cli, overlay, poc, prove
from images.demo.story import NotProved, Step, Story
from images.demo.up import Demo
from larva.errors import InvalidInput, LarvaError


def test_the_proof_needs_disks_in_three_clouds() -> None:
    plan = topology_toml.default()
    assert len(prove.storage_hosts(plan)) == 3
    one_less = tuple(replace(host, disks=()) if host.name == "azure-1" else host for host in plan.hosts)
    with pytest.raises(InvalidInput, match="in 2 clouds"):
        prove.storage_hosts(replace(plan, hosts=one_less))
    with pytest.raises(InvalidInput, match="in 0 clouds"):
        prove.storage_hosts(replace(plan, hosts=()))


def test_as_many_osds_are_expected_as_there_are_disks() -> None:
    plan = topology_toml.default()
    more = tuple(
        replace(host, disks=(*host.disks, topology.Disk(name="second", size="1GiB"))) if host.name == "gcp-1" else host
        for host in plan.hosts
    )
    lab: Any = type("Lab", (), {"topology": replace(plan, hosts=more)})()
    assert Demo(lab).osd_count == 4


def test_a_story_that_failed_says_so(tmp_path: Path) -> None:
    story = Story()
    with story.step("holds") as step:
        step.saw("a figure")
    with pytest.raises(NotProved), story.step("does not") as step:
        step.require(False, "the impossible")
    story.write(tmp_path / "story.json")
    told = json.loads((tmp_path / "story.json").read_text())
    assert (told["ok"], [step["ok"] for step in told["steps"]]) == (False, [True, False])


class Lab:
    """Notes what is done to the clouds."""

    is_emulated = False

    def __init__(self) -> None:
        self.topology = topology_toml.default()
        self.done: list[str] = []

    def cut(self, cloud: str) -> None:
        self.done.append(f"cut {cloud}")

    def heal(self, cloud: str) -> None:
        self.done.append(f"heal {cloud}")


class Writer:
    """Acknowledges ten records whenever it is looked at."""

    records = 0

    def seen(self) -> Any:
        self.records += 10
        return self


@pytest.mark.parametrize(
    ("up", "holds"),
    [
        (["aws-1", "gcp-1"], True),
        (["aws-1", "azure-1"], False),
        ([], False),
        (["aws-1", "gcp-1", "azure-1"], False),
    ],
)
def test_only_the_loss_of_the_very_cloud_that_was_cut_proves_anything(
    monkeypatch: pytest.MonkeyPatch, up: list[str], *, holds: bool
) -> None:
    monkeypatch.setattr(overlay, "NOTICE_S", 1.0)
    monkeypatch.setattr(overlay, "osds_up", lambda *_: [{"host": host} for host in up])
    lab: Any = Lab()
    writer: Any = Writer()

    def tell() -> None:
        demo = Demo(lab)
        loss = overlay.loss_of(demo, demo.topology.host("azure-1"))
        overlay._go_on_without(Step(name="s"), demo, "g", loss, writer)

    if holds:
        monkeypatch.setattr(overlay, "NOTICE_S", 60.0)
        tell()
    else:
        with pytest.raises(NotProved):
            tell()
    assert lab.done == ["cut azure", "heal azure"]


def test_a_key_is_on_no_command_line() -> None:
    seen: list[tuple[list[str], bytes | None, bool]] = []

    class Machine:
        def run(self, argv: list[str], *, timeout: float = 60, input: bytes | None = None, secret: bool = False) -> str:  # noqa: A002
            del timeout
            seen.append((argv, input, secret))
            return ""

    poc._put_secret(Machine(), "/etc/ceph/keyring", "key = AQB")
    assert seen == [(["sh", "-c", "umask 077; cat > /etc/ceph/keyring"], b"key = AQB", True)]


def test_an_address_of_another_network_is_no_private_one() -> None:
    networks = [IPv4Network("10.0.0.0/24")]
    assert poc._is_private("10.0.0.4:6800", networks)
    assert not poc._is_private("203.0.113.10:6800", networks)


def test_a_bench_that_fails_leaves_no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    from images.demo import bench

    made: list[str] = []
    removed: list[str] = []

    def fails(_: object, *, run_id: str, story: Story) -> None:
        del story
        made.append(run_id)
        raise LarvaError("no")

    def lab(run_id: str) -> Any:
        destroy: Callable[[Any], None] = lambda _: removed.append(run_id)  # noqa: E731
        return type("Lab", (), {"destroy": destroy})()

    monkeypatch.setattr(bench, "bring_up", fails)
    monkeypatch.setattr(bench, "Lab", lab)
    with pytest.raises(LarvaError):
        bench._milestones()
    assert made == removed
    assert made


def test_a_report_without_a_place_is_refused_before_the_work(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.demo, ["prove", "--json", str(tmp_path / "nowhere" / "story.json")])
    assert isinstance(done.exception, InvalidInput)
    assert "nowhere" in str(done.exception)
