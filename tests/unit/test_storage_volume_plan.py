"""What the keeper of volumes decides, and what mounts, sizes and the mount probe make of their input."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.ceph import cephx
from cbstorage.leading import volume_plan as keeper
from cbstorage.leading.patience import Patience
from cbstorage.leading.volume_plan import Desired
from cbstorage.model import (
    MountPhase,
    MountSpecification,
    MountState,
    SealedKey,
    SealedKeys,
    VolumePhase,
    VolumeSpecification,
    VolumeState,
)
from cbstorage.mounting import clients, mount_point
from cbstorage.mounting.mount_probe import Answer, MountProbe, judge
from cbstorage.volume_model import CopyWish
from cbstorage.wanted import sizes
from cladnet.etcd.store import Versioned
from larva.errors import InvalidInput

HOSTS = {"aws-1": "seal-a", "gcp-1": "seal-g"}
VOLUME = VolumeSpecification(
    group="demo", name="data", id="11112222", size_bytes=1 << 30, created_at=datetime(2026, 1, 1, tzinfo=UTC)
)
READY = VolumeState(id=VOLUME.id, ready=True, size_bytes=VOLUME.size_bytes)


def given_key(host: str, seal: str, volume: VolumeSpecification = VOLUME) -> Versioned[SealedKeys]:
    return Versioned("k", SealedKeys(seal_key=seal, keys=(SealedKey(entity=volume.entity(host), box=""),)), 1)


def mount(host: str, volume: VolumeSpecification = VOLUME) -> MountSpecification:
    return MountSpecification(volume=volume.name, volume_id=volume.id, host=host, path="/srv/data")


def report(host: str) -> MountState:
    return MountState(volume="data", volume_id=VOLUME.id, host=host, path="/srv/data", phase=MountPhase.MOUNTED)


def desired(
    *,
    phase: VolumePhase = VolumePhase.ACTIVE,
    state: VolumeState | None = READY,
    mounts: tuple[str, ...] = (),
    reports: tuple[str, ...] = (),
    keys: dict[str, Versioned[SealedKeys]] | None = None,
) -> Desired:
    volume = VolumeSpecification(
        group="demo", name="data", id=VOLUME.id, size_bytes=VOLUME.size_bytes, phase=phase, created_at=VOLUME.created_at
    )
    return Desired(
        volumes=(Versioned("v", volume, 5),),
        states={"data": state} if state else {},
        mounts={(host, "data"): mount(host) for host in mounts},
        reports={(host, "data"): report(host) for host in reports},
        handed_out={(host, "data"): key for host, key in (keys or {}).items()},
    )


def test_a_new_volume_is_made() -> None:
    assert [one.name for one in keeper.plan(desired(state=None), HOSTS).make] == ["data"]


def test_an_earlier_volume_s_state_does_not_count() -> None:
    old = VolumeState(id="99998888", ready=True, size_bytes=VOLUME.size_bytes)
    assert keeper.plan(desired(state=old), HOSTS).make


def test_a_plan_that_was_carried_out_is_empty() -> None:
    plan = keeper.plan(desired(mounts=("aws-1",), keys={"aws-1": given_key("aws-1", "seal-a")}), HOSTS)
    assert plan == keeper.Plan(make=(), hand_out=(), take_back=(), remove=())


def test_a_key_is_sealed_anew_for_a_host_that_was_installed_anew() -> None:
    plan = keeper.plan(desired(mounts=("aws-1",), keys={"aws-1": given_key("aws-1", "old")}), HOSTS)
    assert [one.host for one in plan.hand_out] == ["aws-1"]


def test_a_key_that_opens_nothing_any_more_is_made_anew() -> None:
    """As of a host that came back while its key was being taken away; not that of one that has left."""
    pair = ("aws-1", "data")
    state = replace(
        desired(mounts=("aws-1",), keys={"aws-1": given_key("aws-1", "seal-a")}), dead=frozenset({pair})
    )  # fmt: skip
    plan = keeper.plan(state, HOSTS)
    assert [one.host for one in plan.hand_out] == ["aws-1"]
    assert not plan.take_back
    gone = keeper.plan(state, {})
    assert not gone.hand_out
    assert gone.take_back == (pair,)


def test_no_key_for_a_host_that_left() -> None:
    assert not keeper.plan(desired(mounts=("gone",)), HOSTS).hand_out


def test_a_key_stays_while_its_host_still_has_the_mount() -> None:
    keys = {"aws-1": given_key("aws-1", "seal-a")}
    assert not keeper.plan(desired(reports=("aws-1",), keys=keys), HOSTS).take_back
    assert keeper.plan(desired(keys=keys), HOSTS).take_back == (("aws-1", "data"),)


def test_data_is_removed_only_after_every_host_let_go() -> None:
    waiting = keeper.plan(desired(phase=VolumePhase.DELETING, reports=("aws-1",)), HOSTS)
    assert not waiting.remove
    free = keeper.plan(desired(phase=VolumePhase.DELETING), HOSTS)
    assert [item.value.name for item in free.remove] == ["data"]
    assert not free.make


def test_a_host_that_left_keeps_no_volume_alive() -> None:
    assert keeper.plan(desired(phase=VolumePhase.DELETING, reports=("gone",)), HOSTS).remove


def test_a_host_that_reports_for_ever_keeps_its_key_for_a_time_only() -> None:
    kept = desired(phase=VolumePhase.DELETING, reports=("aws-1",), keys={"aws-1": given_key("aws-1", "seal-a")})
    assert keeper.lingering(kept, HOSTS) == {("aws-1", "data")}
    assert not keeper.plan(kept, HOSTS).take_back
    overdue = keeper.plan(kept, HOSTS, {("aws-1", "data")})
    assert overdue.take_back == (("aws-1", "data"),)
    assert not overdue.remove, "data stays until the key is back"
    assert keeper.plan(desired(phase=VolumePhase.DELETING, reports=("aws-1",)), HOSTS, {("aws-1", "data")}).remove


def test_a_mount_that_is_wanted_does_not_linger() -> None:
    assert not keeper.lingering(desired(mounts=("aws-1",), reports=("aws-1",)), HOSTS)


def test_an_earlier_volume_s_key_is_taken_back_before_another_is_given() -> None:
    earlier = VolumeSpecification(group="demo", name="data", id="99998888", size_bytes=1, created_at=VOLUME.created_at)
    given = desired(mounts=("aws-1",), reports=("aws-1",), keys={"aws-1": given_key("aws-1", "seal-a", earlier)})
    plan = keeper.plan(given, HOSTS)
    assert plan.take_back == (("aws-1", "data"),)
    assert not plan.hand_out


def test_a_volume_is_filled_only_when_nobody_has_it_open() -> None:
    wish = CopyWish(volume_id=VOLUME.id, source_id=VOLUME.id, source_path=VOLUME.path, snapshot="then")
    copies = {VOLUME.id: Versioned("c", wish, 1)}
    given = {"aws-1": given_key("aws-1", "seal-a")}
    free = replace(desired(mounts=("aws-1",)), copies=copies)
    assert keeper.plan(free, HOSTS).fill == (VOLUME,)
    assert not keeper.plan(free, HOSTS).hand_out, "it is mounted once it is filled"
    held = replace(desired(mounts=("aws-1",), keys=given), copies=copies)
    assert not keeper.plan(held, HOSTS).fill
    assert keeper.plan(held, HOSTS).take_back == (("aws-1", "data"),)
    left = replace(desired(reports=("aws-1",)), copies=copies)
    assert not keeper.plan(left, HOSTS).fill
    assert keeper.plan(left, HOSTS, {("aws-1", "data")}).fill == (VOLUME,)
    assert not keeper.plan(replace(desired(state=None), copies=copies), HOSTS).fill, "its directory comes first"
    assert not keeper.plan(replace(desired(phase=VolumePhase.DELETING), copies=copies), HOSTS).fill


def test_patience_counts_what_is_so_without_a_break() -> None:
    now = 0.0
    patience = Patience[str](10, clock=lambda: now)
    assert patience.overdue({"a"}) == frozenset()
    now = 9.0
    assert patience.overdue({"b"}) == frozenset()
    now = 11.0
    assert patience.overdue({"a", "b"}) == frozenset()
    now = 19.0
    assert patience.overdue({"a", "b"}) == {"b"}


def test_no_volume_s_identity_is_a_storage_host_s() -> None:
    """A host's name has no full stop, so that a volume called storage gets none of their identities."""
    volume = VolumeSpecification(group="demo", name="storage", id=VOLUME.id, size_bytes=1, created_at=VOLUME.created_at)
    assert volume.entity("aws-1") == "client.storage.11112222.aws-1"
    assert volume.entity("aws-1").count(".") > cephx.storage_host("aws-1").count(".")


NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)


@given(NAMES, NAMES, NAMES, NAMES)
def test_no_two_volumes_share_a_namespace_or_a_directory(g1: str, n1: str, g2: str, n2: str) -> None:
    one, other = (
        VolumeSpecification(group=g, name=n, id="11112222", size_bytes=1, created_at=VOLUME.created_at)
        for g, n in ((g1, n1), (g2, n2))
    )
    same = (g1, n1) == (g2, n2)
    assert (one.namespace == other.namespace) is same
    assert (one.path == other.path) is same


@pytest.mark.parametrize(
    ("text", "size"), [("1G", 1 << 30), ("500M", 500 << 20), ("2TiB", 2 << 40), ("1.5k", 1536), ("4096", 4096)]
)
def test_sizes(text: str, size: int) -> None:
    assert sizes.parse(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1X", "1 G G", "NaN", "1e9", "٣G "])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidInput):
        sizes.parse(text)


@given(st.integers(min_value=0, max_value=1 << 59))
def test_a_shown_size_is_nearly_the_size(size: int) -> None:
    assert abs(sizes.parse(sizes.show(size)) - size) <= size / 1000 + 1
    assert sizes.show(size).endswith("B")


@pytest.mark.parametrize("path", ["/srv/data", "/mnt/shared", "/home/me/work", "/data", "/srv/дата 1"])
def test_usable_mount_points(path: str) -> None:
    assert mount_point.check(f"{path}/") == path


@pytest.mark.parametrize(
    "path",
    [
        "data",
        "",
        "/",
        "/etc",
        "/etc/x",
        "/proc/1",
        "/usr/lib",
        "//",
        "/srv/../etc",
        "/a\nb",
        "/var/lib/larva/x",
        "/var/spool/cron/crontabs",
        "/lib/systemd/system-generators",
        "/root/.ssh",
        "/home/me/.ssh",
        "/srv/$HOME",
        "/srv/%n",
        '/srv/a"b',
        "/srv/-rf",
        "/tmp",
    ],
)
def test_unusable_mount_points(path: str) -> None:
    with pytest.raises(InvalidInput):
        mount_point.check(path)


@pytest.mark.parametrize("name", ["data", "a b", "дата", "d'or"])
def test_a_directory_answers_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert MountProbe().ask(tmp_path / name) == (Answer.ALIVE, "")


def test_a_path_that_is_gone_is_dead(tmp_path: Path) -> None:
    assert MountProbe().ask(tmp_path / "gone")[0] is Answer.DEAD


def test_a_shut_out_client_is_dead_although_its_root_may_answer() -> None:
    words = "stat: cannot statx '/m/.larva-is-it-alive': Cannot send after transport endpoint shutdown"
    assert judge(words) == (Answer.DEAD, "Cannot send after transport endpoint shutdown")


def test_a_question_without_an_answer_is_left_behind_and_not_asked_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin"
    slow.mkdir()
    (slow / "stat").write_text("#!/bin/sh\ntrap '' TERM\nexec sleep 60\n")
    (slow / "stat").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}:/usr/bin:/bin")
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def counting(*args: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(real(*args, **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", counting)
    probe = MountProbe()
    assert probe.ask(tmp_path, patience_s=0.2)[0] is Answer.SILENT
    assert probe.ask(tmp_path, patience_s=5)[0] is Answer.SILENT
    assert len(started) == 1


def test_what_is_mounted_is_read_from_the_kernel_s_table() -> None:
    found = clients.mounted_at(Path("/proc"))
    assert found is not None
    assert found.kind == "proc"
    assert not found.is_volume
    assert clients.mounted_at(Path("/no/such/mount")) is None


def test_who_may_write_gets_another_key_when_he_may_only_read() -> None:
    writing, reading = given_key("aws-1", "seal-a"), VOLUME
    key = ("aws-1", "data")
    wish = replace(mount("aws-1"), read_only=True)
    found = keeper.plan(replace(desired(keys={}), mounts={key: wish}, handed_out={key: writing}), {"aws-1": "seal-a"})
    assert found.take_back == (key,)
    assert found.hand_out == ()
    entity = reading.entity("aws-1", read_only=True)
    only = Versioned("k", replace(writing.value, keys=(replace(writing.value.keys[0], entity=entity),)), 1)
    found = keeper.plan(replace(desired(keys={}), mounts={key: wish}, handed_out={key: only}), {"aws-1": "seal-a"})
    assert found.take_back == found.hand_out == ()
