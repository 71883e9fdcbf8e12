"""Security updates: what is pending, what runs old code, in which order, and when things are whole."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cbstorage.ceph.answers import (
    FileSystem,
    FileSystems,
    ManagerStatus,
    MdsEntry,
    MdsMap,
    MonitorEntry,
    MonitorMap,
    OsdEntry,
    OsdMap,
    PgMap,
    PgState,
    QuorumStatus,
)
from cbstorage.host import wholeness
from cbstorage.host.wholeness import Seen
from cbstorage.model import FILE_SYSTEM
from cbstorage.updating import order, update
from cbstorage.updating.update import Due, Guard, Pace
from cladnet.etcd import turn
from larva import packages, replaced
from larva.errors import ProgramFailed, TimedOut, Unavailable
from larva.packages import Upgrade

SIMULATED = """\
NOTE: This is only a simulation!
Inst libssl3t64 [3.5.1-1] (3.5.1-1+deb13u1 Debian-Security:13/stable-security [amd64]) []
Inst linux-image-6.12.50-cloud-amd64 (6.12.50-1 Debian-Security:13/stable-security [amd64])
Conf libssl3t64 (3.5.1-1+deb13u1 Debian-Security:13/stable-security [amd64])
"""


def test_pending_is_read_from_its_own_words() -> None:
    assert packages.parse(SIMULATED) == (
        Upgrade(name="libssl3t64", old="3.5.1-1", new="3.5.1-1+deb13u1"),
        Upgrade(name="linux-image-6.12.50-cloud-amd64", old="", new="6.12.50-1"),
    )
    assert packages.parse("") == ()


@pytest.mark.parametrize(
    ("line", "held"),
    [
        ("7f0-7f1 r-xp 00000000 fd:01 12 /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)", True),
        ("7f0-7f1 r-xp 00000000 fd:01 12 /usr/bin/ceph-osd (deleted)", True),
        ("7f0-7f1 r-xp 00000000 fd:01 12 /usr/bin/ceph-osd", False),
        ("7f0-7f1 rw-s 00000000 00:01 12 /memfd:x (deleted)", False),
        ("7f0-7f1 rw-s 00000000 00:01 12 /dev/shm/usr/lib (deleted)", False),
        ("7f0-7f1 rw-s 00000000 00:01 12 /var/lib/larva/x (deleted)", False),
    ],
)
def test_a_replaced_file_is_told_from_others_that_are_deleted(line: str, *, held: bool) -> None:
    assert replaced.holds_replaced(f"7f0-7f1 r--p 00000000 fd:01 1 /usr/bin/true\n{line}\n") is held


@pytest.mark.parametrize(
    ("cgroup", "service"),
    [
        ("0::/system.slice/ceph-osd@0.service\n", "ceph-osd@0.service"),
        ("0::/system.slice/system-ceph\\x2dosd.slice/ceph-osd@0.service\n", "ceph-osd@0.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/podman.service\n", "user@1000.service"),
        ("0::/machine.slice/systemd-nspawn@a.service/payload/system.slice/b.service\n", "systemd-nspawn@a.service"),
        ("1:name=systemd:/system.slice/ssh.service\n0::/system.slice/ssh.service\n", "ssh.service"),
        ("0::/system.slice/larva-agent.service/inner\n", "larva-agent.service"),
        ("0::/init.scope\n", ""),
        ("", ""),
    ],
)
def test_the_service_of_a_process(cgroup: str, service: str) -> None:
    assert replaced.service_of(cgroup) == service


def test_services_are_found_among_processes(tmp_path: Path) -> None:
    for number, (maps, cgroup) in enumerate(
        [
            ("0-1 r-xp 0 0:0 1 /usr/bin/a (deleted)\n", "0::/system.slice/a.service\n"),
            ("0-1 r-xp 0 0:0 1 /usr/bin/b\n", "0::/system.slice/b.service\n"),
            ("0-1 r-xp 0 0:0 1 /usr/bin/c (deleted)\n", "0::/init.scope\n"),
        ]
    ):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "maps").write_text(maps)
        (tmp_path / str(number) / "cgroup").write_text(cgroup)
    (tmp_path / "99").mkdir()  # it ended while we looked
    assert replaced.services(tmp_path) == {"a.service"}


def test_restarts_are_in_order_and_mounts_stay() -> None:
    found = order.restarts(
        [
            "ceph-osd@1.service", "ceph-mds@mds-a.service", "ceph-mon@a.service", "ceph-osd@0.service",
            "ceph-mgr@a.service", "larva-etcd.service", "ssh.service", "larva-agent.service", "dbus.service",
            "larva-mount-demo_shared.service", "larva-update.service", "user@0.service",
        ]
    )  # fmt: skip
    assert found.plain == ("larva-agent.service", "ssh.service")
    assert found.control == ("larva-etcd.service",)
    assert found.storage == (
        "ceph-mon@a.service", "ceph-mgr@a.service", "ceph-osd@0.service", "ceph-osd@1.service",
        "ceph-mds@mds-a.service",
    )  # fmt: skip
    assert set(found.left) == {
        "dbus.service", "larva-mount-demo_shared.service", "larva-update.service", "user@0.service",
    }  # fmt: skip
    assert Due(upgrades=(), restarts=order.restarts(["dbus.service"])).nothing
    assert not Due(upgrades=(), restarts=found).nothing


def played(due: Due, broken: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """What a run does that nobody guards, and how it ends."""
    done: list[str] = []

    def restart(unit: str) -> None:
        done.append(unit)
        if unit in broken:
            raise ProgramFailed(f"{unit} does not start")

    def look() -> Due:
        return replace(due, unfinished=()) if "finish" in done else due

    ends = []
    try:
        update.run(
            (), "a", pace=Pace(), look=look, restart=restart,
            finish=lambda: done.append("finish"), upgrade=lambda: done.append("upgrade"),
        )  # fmt: skip
    except ProgramFailed as error:
        ends.append(error.message)
    return done, ends


SERVICES = order.restarts(["cron.service", "ssh.service", "larva-etcd.service", "ceph-osd@0.service"])


def test_a_service_that_does_not_start_keeps_back_nothing_but_is_told() -> None:
    done, ends = played(Due(upgrades=(), restarts=SERVICES), broken=["cron.service"])
    assert done == ["cron.service", "ssh.service", "larva-etcd.service", "ceph-osd@0.service"]
    assert ends == ["not restarted: cron.service"]


def test_a_guarded_daemon_that_does_not_start_ends_it() -> None:
    done, ends = played(Due(upgrades=(), restarts=SERVICES), broken=["larva-etcd.service"])
    assert (done[-1], ends) == ("larva-etcd.service", ["larva-etcd.service does not start"])


def test_what_was_interrupted_is_finished_before_more_is_upgraded() -> None:
    new = (Upgrade(name="libssl", old="1", new="2"),)
    assert played(Due(upgrades=(), unfinished=("libssl",), restarts=order.restarts([]))) == (["finish"], [])
    assert played(Due(upgrades=new, unfinished=("libc6",), restarts=order.restarts([]))) == (["finish", "upgrade"], [])
    assert played(Due(upgrades=new, restarts=order.restarts([]))) == (["upgrade"], [])


def test_old_kernels_are_told_from_other_things_that_nobody_needs() -> None:
    simulated = "Remv linux-image-6.12.1-cloud-amd64 [6.12.1-1]\nRemv libold [1]\nInst linux-image-6.12.2-cloud-amd64\n"
    assert packages.old_kernels(simulated) == ("linux-image-6.12.1-cloud-amd64",)


MONITORS = MonitorMap(mons=(MonitorEntry(name="a"), MonitorEntry(name="b")))
OSDS = (OsdEntry(osd=0, uuid="x", up=1, weight=1), OsdEntry(osd=1, uuid="y", up=0, weight=0))


def served(state: str) -> FileSystems:
    info = {"1": MdsEntry(name="m", state=state)}
    return FileSystems(standbys=(), filesystems=(FileSystem(mdsmap=MdsMap(fs_name=FILE_SYSTEM, info=info)),))


def groups(**counts: int) -> PgMap:
    return PgMap(
        pgs_by_state=tuple(PgState(state_name=name.replace("_", "+"), count=count) for name, count in counts.items())
    )


WHOLE = Seen(
    quorum=QuorumStatus(quorum_names=("a", "b"), quorum_leader_name="a", monmap=MONITORS),
    osd_map=OsdMap(osds=OSDS, pools=()),
    manager=ManagerStatus(active_name="a", available=True),
    groups=groups(active_clean=9, active_clean_scrubbing=1),
    file_systems=served("up:active"),
)


def test_a_whole_cluster_lacks_nothing() -> None:
    """An OSD that is out is missed by nobody, and scrubbing harms nothing."""
    assert wholeness.lacks(WHOLE) == ""
    assert wholeness.lacks(replace(WHOLE, file_systems=FileSystems(standbys=(), filesystems=()))) == ""


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (replace(WHOLE, quorum=replace(WHOLE.quorum, quorum_names=("a",))), "monitors are not in quorum: b"),
        (replace(WHOLE, osd_map=OsdMap(osds=(OsdEntry(osd=7, uuid="x", up=0, weight=1),), pools=())), "down: osd.7"),
        (replace(WHOLE, manager=ManagerStatus(active_name="a", available=False)), "no manager"),
        (replace(WHOLE, groups=groups(active_clean=9, active_undersized=3)), "3 active+undersized"),
        (replace(WHOLE, file_systems=served("up:replay")), "no metadata server"),
    ],
)
def test_what_lacks_is_named(seen: Seen, words: str) -> None:
    assert words in wholeness.lacks(seen)


def watched(answers: list[str | None], pace: Pace) -> list[float]:
    """Times of the looks that await_whole made; an answer of None stands for monitors that do not answer."""
    now, looks = [0.0], []

    def lacks() -> str:
        looks.append(now[0])
        answer = answers[min(len(looks), len(answers)) - 1]
        if answer is None:
            raise Unavailable("no quorum answers")
        return answer

    def sleep(seconds: float) -> None:
        now[0] += seconds

    guard = Guard(what="storage", prefix="turns/", store=None, lacks=lacks)  # type: ignore[arg-type]
    update.await_whole(guard, pace, clock=lambda: now[0], sleep=sleep)
    return looks


def test_whole_means_whole_for_a_while() -> None:
    assert watched([""], Pace(settled_s=6, look_s=2)) == [0, 2, 4, 6]
    assert watched(["", "", "osd.1 is down", None, ""], Pace(settled_s=6, look_s=2)) == [0, 2, 4, 6, 8, 10, 12, 14]


@pytest.mark.parametrize("answer", ["osd.1 is down", None])
def test_patience_ends_with_what_lacks(answer: str | None) -> None:
    with pytest.raises(TimedOut, match=r"storage is not whole: (osd.1 is down|no quorum answers)"):
        watched([answer], Pace(patience_s=10, look_s=2))


def test_the_oldest_has_the_turn() -> None:
    assert turn.first("turns/", {}) == ""
    assert turn.first("turns/", {"turns/b": 5, "turns/a": 9, "turns/c": 7}) == "b"
