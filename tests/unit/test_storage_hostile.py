"""Odd values, written by a member into etcd or found on a host: each harms at most what it is about."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.ceph import sealed_keys
from cbstorage.ceph.cephx import Identity
from cbstorage.host import claim, device, osd
from cbstorage.host.device import Label
from cbstorage.leading import volume_plan as keeper
from cbstorage.leading.mount_keys import MountKeys
from cbstorage.leading.tree import Tree
from cbstorage.mirror_model import MirrorState, VolumeMirror
from cbstorage.model import (
    ClusterSpecification,
    MountSpecification,
    SealedKey,
    SealedKeys,
    VolumeSpecification,
)
from cbstorage.mounting import clients, mount_point, mounts
from cbstorage.mounting.clients import Mounted
from cbstorage.mounting.mount_probe import Answer
from cbstorage.share_model import MOST_SHARES, VolumeShares
from cbstorage.wanted import sizes
from cladnet import seal
from cladnet.etcd.store import Store, Versioned
from larva import codec, process
from larva.errors import Conflict, HostUnfit, InvalidInput, MalformedData

FSID = "5248e297-0307-4aad-a81e-d3b7ee2f8cd4"
NOW = "2026-01-01T00:00:00Z"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LARVA_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (VolumeSpecification, f'{{"group":"g","name":"n","id":"1, allow *","size_bytes":1,"created_at":"{NOW}"}}'),
        (VolumeSpecification, f'{{"group":"g","name":"../n","id":"11112222","size_bytes":1,"created_at":"{NOW}"}}'),
        (VolumeSpecification, f'{{"group":"g","name":"n","id":"11112222\\n","size_bytes":1,"created_at":"{NOW}"}}'),
        (
            VolumeSpecification,
            f'{{"group":"g","name":"n","id":"11112222","size_bytes":{1 << 63},"created_at":"{NOW}"}}',
        ),
        (
            ClusterSpecification,
            f'{{"group":"g","fsid":"x\\n[osd]","cidr":"10.0.0.0/24","mon_hosts":[],"mgr_hosts":[],"mds_hosts":[],"created_at":"{NOW}"}}',
        ),
        (MountSpecification, '{"volume":"../../etc","volume_id":"11112222","host":"h","path":"/srv/x"}'),
        (SealedKeys, '{"seal_key":"","keys":[]}'),
        (VolumeShares, '{"group":"g","volume_id":"11112222","shares":[{"host":"a, allow *"}]}'),
        (
            VolumeMirror,
            f'{{"group":"g","volume_id":"../x","source_id":"11112222","every_s":60,"keep":1,"created_at":"{NOW}"}}',
        ),
        (MirrorState, '{"volume_id":"11112222","complete":"../../other"}'),
        (
            VolumeShares,
            '{"group":"g","volume_id":"11112222","shares":[' + ",".join(['{"host":"a"}'] * (MOST_SHARES + 1)) + "]}",
        ),
    ],
)
def test_what_would_become_a_path_a_capability_or_a_line_is_bounded_where_it_is_read(
    kind: type[Any], text: str
) -> None:
    with pytest.raises(MalformedData):
        codec.decode(text, kind, source="test")


def volume(name: str = "data", group: str = "g") -> VolumeSpecification:
    return VolumeSpecification(group=group, name=name, id="11112222", size_bytes=1 << 30, created_at=datetime.now(UTC))


class Recorder:
    """Monitors that note what they are told."""

    def __init__(self) -> None:
        self.told: list[dict[str, object]] = []

    def run(self, prefix: str, **arguments: object) -> bytes:
        self.told.append({"prefix": prefix, **arguments})
        return b""


class Deleting:
    def delete(self, key: str, *, revision: int | None = None) -> bool:
        return True


@pytest.mark.parametrize(
    ("entity", "removed"),
    [
        ("client.data.11112222.aws-1", True),
        ("client.data.11112222.gcp-1", False),
        ("client.other.11112222.aws-1", False),
        ("client.admin", False),
        ("mon.", False),
        ("osd.0", False),
    ],
)
def test_only_a_mount_s_own_key_is_ever_taken_back(entity: str, removed: bool) -> None:
    monitors, store = Recorder(), Deleting()
    given = Versioned("k", SealedKeys(seal_key="", keys=(SealedKey(entity=entity, box=""),)), 1)
    ended: list[tuple[list[str], tuple[str, ...]]] = []
    kept = MountKeys(store, "g", lambda entities, servers: ended.append((list(entities), servers)))  # type: ignore[arg-type]
    kept.take_back(monitors, ("mds-1",), {("aws-1", "data"): given})  # type: ignore[arg-type]
    assert bool(monitors.told) is removed
    assert ended == [([entity] if removed else [], ("mds-1",))]


def wish(name: str, path: str) -> MountSpecification:
    return MountSpecification(volume=name, volume_id="11112222", host="aws-1", path=path)


def test_a_host_refuses_paths_of_its_own_system_whoever_wrote_them() -> None:
    paths = {"a": "/etc/cron.d", "b": "/var/lib/larva", "c": "/srv/../etc", "d": "etc", "e": "/srv/ok"}
    wanted = {name: wish(name, path) for name, path in paths.items()}
    assert set(mounts._refusals(wanted)) == {"a", "b", "c", "d"}


def test_of_volumes_wanted_at_or_in_one_place_the_first_stands() -> None:
    paths = {"a": "/srv/x", "b": "/srv/x", "c": "/srv/x/in", "d": "/srv/xx"}
    wanted = {name: wish(name, path) for name, path in paths.items()}
    assert set(mounts._refusals(wanted)) == {"b", "c"}


PATHS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(st.dictionaries(st.sampled_from("abcdef"), PATHS))
def test_no_two_granted_wishes_collide(paths: dict[str, str]) -> None:
    wanted = {name: wish(name, path) for name, path in paths.items()}
    granted = wanted.keys() - mounts._refusals(wanted).keys()
    assert not [
        (one, other)
        for one in granted
        for other in granted
        if one < other and mount_point.collide(paths[one], paths[other])
    ]


def test_a_symbolic_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "system")
    with pytest.raises(HostUnfit, match="link is a symbolic link"):
        mount_point.prepare(tmp_path / "link" / "data")
    assert not (tmp_path / "system" / "data").exists()
    mount_point.prepare(tmp_path / "plain" / "data")
    assert (tmp_path / "plain" / "data").is_dir()


def test_nothing_is_mounted_inside_of_a_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose client may be dead: whoever looks into it hangs."""
    table = {tmp_path: Mounted(kind="fuse.ceph-fuse", source="ceph-fuse")}
    monkeypatch.setattr(clients, "mounted_at", table.get)
    with pytest.raises(Conflict, match="a volume is mounted"):
        mount_point.prepare(tmp_path / "inside")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would be run; no unit of ours is active."""
    ran: list[list[str]] = []

    def run(argv: list[object], **_: object) -> str:
        ran.append([str(word) for word in argv])
        return "inactive\n"

    monkeypatch.setattr(process, "run", run)
    return ran


@pytest.mark.parametrize(
    "mounted", [Mounted(kind="ext4", source="/dev/vdb"), Mounted(kind="fuse.ceph-fuse", source="ceph-fuse")]
)
def test_what_somebody_else_mounted_is_not_taken_away(
    host: list[list[str]], monkeypatch: pytest.MonkeyPatch, mounted: Mounted
) -> None:
    monkeypatch.setattr(clients, "mounted_at", lambda _: mounted)
    clients.unmount("larva-mount-g_data.service", Path("/data"), source="/volumes/g/data.11112222")
    assert not [words for words in host if words[0] == "umount"]


def test_another_volume_at_the_place_does_not_pass_for_ours(
    host: list[list[str]], state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clients, "mounted_at", lambda _: Mounted(kind="fuse.ceph-fuse", source="ceph-fuse"))
    kept = mounts.MountKeeper(Store(["http://127.0.0.1:1"]), "g", "aws-1")
    monkeypatch.setattr(kept, "_probe", Always())
    known = mounts.Known(
        specification=wish("data", str(tmp_path)), fsid=FSID, entity="client.data.11112222.aws-1",
        source=volume().path, monitors=(),
    )  # fmt: skip
    phase, _, words = kept._keep(known)
    assert phase == "failed"
    assert "another volume" in words


class Always:
    def ask(self, path: Path) -> tuple[Answer, str]:
        return Answer.ALIVE, ""


def test_no_two_mounts_share_a_unit() -> None:
    store = Store(["http://127.0.0.1:1"])
    one = mounts.MountKeeper(store, "a-b", "h")._unit("c")
    other = mounts.MountKeeper(store, "a", "h")._unit("b-c")
    assert one != other


def test_a_host_serves_one_cluster_for_good(state: Path) -> None:
    state.mkdir()
    assert claim.current() is None
    claim.stake("one", FSID)
    claim.stake("one", FSID)
    with pytest.raises(Conflict, match="serves storage cluster"):
        claim.stake("two", "00000000-0307-4aad-a81e-d3b7ee2f8cd4")
    assert claim.current() == claim.Claim(group="one", fsid=FSID)


@pytest.mark.parametrize("key", ["", "x\n[client.admin]", "short", "é" * 40])
def test_a_sealed_key_that_is_none_is_refused(key: str) -> None:
    private, public = seal.new_pair()
    sealed = sealed_keys.seal_keys(public, [Identity(entity="client.x", key=key)])
    with pytest.raises(MalformedData, match=r"client\.x"):
        sealed_keys.open_keys(private, sealed)


def test_two_devices_never_share_a_record(state: Path) -> None:
    state.mkdir()
    assert osd._record_file(Path("/disks/a-b"), FSID) != osd._record_file(Path("/disks/a/b"), FSID)


def test_an_unfinished_osd_is_not_taken_for_a_finished_one(tmp_path: Path) -> None:
    contents = device.Contents(size_bytes=1 << 40, label=Label(osd_uuid="u", ceph_fsid=FSID, whoami=""))
    with pytest.raises(HostUnfit, match="never finished"):
        device.decide(tmp_path, contents, fsid=FSID, osd_uuid="another")


def test_a_file_for_an_osd_has_its_size_or_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    file = tmp_path / "osd0.img"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            device.make_file(file, 1 << 30)
    assert not file.exists()
    device.make_file(file, 1 << 30)
    assert file.stat().st_size == 1 << 30
    assert [entry.name for entry in tmp_path.iterdir()] == ["osd0.img"]


@pytest.mark.parametrize("text", ["9" * 400, "1025P", "9" * 20 + "G"])
def test_a_size_that_no_quota_holds_is_bad_input(text: str) -> None:
    with pytest.raises(InvalidInput, match="too large"):
        sizes.parse(text)


class FakeFiles:
    """The part of libcephfs that a removal uses, on a directory of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _at(self, path: bytes) -> Path:
        return Path(os.fsdecode(os.fsencode(self.root) + path))

    def opendir(self, path: bytes) -> Any:
        return iter([os.fsencode(entry.name) for entry in self._at(path).iterdir()])

    def readdir(self, handle: Any) -> Any:
        name = next(handle, None)
        return type("Entry", (), {"d_name": name}) if name is not None else None

    def closedir(self, handle: Any) -> None:
        return None

    def lstat(self, path: bytes) -> os.stat_result:
        return self._at(path).lstat()

    def rename(self, path: bytes, to: bytes) -> None:
        self._at(path).rename(self._at(to))

    def unlink(self, path: bytes) -> None:
        self._at(path).unlink()

    def rmdir(self, path: bytes) -> None:
        self._at(path).rmdir()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made: Any = object.__new__(Tree)
    made._fs, made._errors = FakeFiles(tmp_path), type("Errors", (), {"ObjectNotFound": FileNotFoundError})
    return made  # type: ignore[no-any-return]


@pytest.fixture
def deep(tmp_path: Path) -> Callable[[], bool]:
    """A tree deeper than Python's stack (as deep as a path may be), with a file at each level."""
    here = tmp_path / "t"
    for _ in range(1200):
        here.mkdir()
        (here / "f").touch()
        here /= "d"
    return (tmp_path / "t").exists


def test_a_tree_of_any_depth_is_removed(tree: Tree, deep: Callable[[], bool]) -> None:
    assert tree._purge(b"/t", float("inf"))
    assert not deep()


def test_a_removal_uses_no_long_path(tree: Tree, deep: Callable[[], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 0
    at = FakeFiles._at

    def measured(self: FakeFiles, path: bytes) -> Path:
        nonlocal longest
        longest = max(longest, path.count(b"/"))
        return at(self, path)

    monkeypatch.setattr(FakeFiles, "_at", measured)
    assert tree._purge(b"/t", float("inf"))
    assert not deep()
    assert longest <= 4


def test_a_removal_gives_way_and_is_taken_up_again(tree: Tree, deep: Callable[[], bool]) -> None:
    assert not tree._purge(b"/t", 0.0)
    assert deep()
    assert tree._purge(b"/t", float("inf"))
    assert not deep()


def test_a_plan_survives_keys_of_hosts_that_nobody_knows() -> None:
    given_to = {("gone", "data"): Versioned("k", SealedKeys(seal_key="s", keys=(SealedKey(entity="x", box=""),)), 1)}
    desired = keeper.Desired(volumes=(), states={}, mounts={}, reports={}, handed_out=given_to)
    assert keeper.plan(desired, {}).take_back == (("gone", "data"),)
