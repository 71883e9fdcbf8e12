"""OSDs on a host: which are started, which end and how, and what that leaves on their devices, at every break."""

from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from cbstorage.ceph.answers import OsdEntry, OsdMap
from cbstorage.host import device, local, osd, osd_retire, osds
from cbstorage.host.osd import EMPTIED, FORGOTTEN, LEFT, Record
from cbstorage.host.osds import Wanted
from cbstorage.host.problems import Problems
from cbstorage.model import ClusterSpecification
from cbstorage.osd_model import OsdAddition, OsdGoal, OsdPhase, OsdProgress, OsdWish
from cbstorage.wanted import osd_additions
from larva.errors import HostUnfit, InvalidInput

FSID = "5248e297-0307-4aad-a81e-d3b7ee2f8cd4"
UUID = "11111111-0307-4aad-a81e-d3b7ee2f8cd4"
ASKED = "22222222-0307-4aad-a81e-d3b7ee2f8cd4"
SIZE = 1 << 30
NOW = datetime.now(UTC)
SPECIFICATION = ClusterSpecification(
    group="g", fsid=FSID, cidr=IPv4Network("10.0.0.0/24"), mon_hosts=(), mgr_hosts=(), mds_hosts=(), created_at=NOW
)
WISH = OsdWish(group="g", osd=3, uuid=UUID, host="h", goal=OsdGoal.REMOVED, asked=ASKED, asked_at=NOW)
STOPPING = OsdProgress(osd=3, uuid=UUID, asked=ASKED, phase=OsdPhase.STOPPING)


class FakeMonitors:
    """Monitors that know these OSDs."""

    def __init__(self, *known: str) -> None:
        self._map = OsdMap(osds=tuple(OsdEntry(osd=3, uuid=one, up=1) for one in known), pools=())

    def ask(self, *_: object, **__: object) -> OsdMap:
        return self._map


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A host's private directory, and what was done to its units."""
    monkeypatch.setenv("LARVA_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("cbstorage.ceph.conf.DATA", tmp_path / "ceph")
    done: list[str] = []
    for name in ("start", "stop", "disable"):
        monkeypatch.setattr(f"cbstorage.host.systemd.{name}", lambda unit, name=name: done.append(f"{name} {unit}"))
    monkeypatch.setattr(osd, "_own", lambda _: None)
    return done


@pytest.fixture
def disk(host: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished OSD on a file, remembered, with its data directory."""
    path = tmp_path / "disk.img"
    device.make_file(path, SIZE)
    with path.open("r+b") as file:
        file.write(f"bluestore block device\n{UUID}\n".encode())
    osd._remember(Record(device=path, uuid=UUID, key="k", osd_id=3, made=True), FSID)
    local.data_directory("osd", "3").mkdir(parents=True)  # type: ignore[arg-type]
    return path


def look(monitors: Any, path: Path, *, wish: OsdWish | None = None, told: OsdProgress | None = None) -> Problems:
    problems = Problems()
    wanted = Wanted(devices=(path,), additions={}, wishes={3: wish} if wish else {}, progress={3: told} if told else {})
    osds.tend(monitors, wanted, SPECIFICATION, problems)
    return problems


def remembered(path: Path) -> Record:
    found = osd.recall(path, FSID)
    assert found is not None
    return found


def is_blank(path: Path) -> bool:
    found = device.inspect(path)
    return found.blank and found.size_bytes == SIZE


def test_an_osd_that_stays_is_started(host: list[str], disk: Path) -> None:
    assert not look(FakeMonitors(UUID), disk).found
    assert host == ["start ceph-osd@3.service"]


def test_an_osd_that_stops_is_kept_until_the_cluster_forgot_it(host: list[str], disk: Path) -> None:
    assert not look(FakeMonitors(UUID), disk, wish=WISH, told=STOPPING).found
    assert not look(None, disk, wish=WISH, told=STOPPING).found
    assert set(host) == {"stop ceph-osd@3.service", "disable ceph-osd@3.service"}
    assert not is_blank(disk)
    assert not look(FakeMonitors(), disk, wish=WISH, told=STOPPING).found
    assert is_blank(disk)
    assert not local.data_directory("osd", "3").exists()  # type: ignore[arg-type]
    assert remembered(disk).retired == EMPTIED
    host.clear()
    assert not look(FakeMonitors(), disk).found
    assert host == [], "nothing is made on it again"


@pytest.mark.parametrize("broken", ["cbstorage.host.device.overwrite", "shutil.rmtree"])
def test_an_end_that_was_killed_goes_on_without_its_wish(
    host: list[str], disk: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(broken, killed)
        with pytest.raises(KeyboardInterrupt):
            look(FakeMonitors(), disk, wish=WISH, told=STOPPING)
    assert remembered(disk).retired == FORGOTTEN
    assert not look(None, disk).found
    assert is_blank(disk)
    assert remembered(disk).retired == EMPTIED


def test_an_osd_that_somebody_purged_keeps_its_data_and_is_told_of(host: list[str], disk: Path) -> None:
    problems = look(FakeMonitors(), disk)
    assert "which was removed from the cluster" in problems.text()
    assert not is_blank(disk)
    assert remembered(disk).retired == LEFT
    assert "start ceph-osd@3.service" not in host


def test_another_osd_s_data_is_left(host: list[str], disk: Path) -> None:
    other = "99999999-0307-4aad-a81e-d3b7ee2f8cd4"
    with disk.open("r+b") as file:
        file.write(f"bluestore block device\n{other}\n".encode())
    osd_retire.empty(disk, osd_uuid=UUID)
    assert device.inspect(disk).label is not None


def test_no_osd_is_made_while_another_is_to_be_emptied(host: list[str], disk: Path, tmp_path: Path) -> None:
    def busy(_: Path) -> None:
        raise HostUnfit("in use")

    osd.retire(remembered(disk), FSID, FORGOTTEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cbstorage.host.device.overwrite", busy)
        problems = look(FakeMonitors(), tmp_path / "new.img")
    assert "in use" in problems.text()
    assert "is to be emptied first" in problems.text()
    assert not (tmp_path / "new.img").exists()


def addition(path: Path, *, destroy: bool, asked: str = ASKED) -> OsdAddition:
    return OsdAddition(
        group="g", host="h", device=str(path), size_bytes=SIZE, destroy_data=destroy, asked=asked, asked_at=NOW
    )


@pytest.mark.parametrize(
    ("destroy", "known", "said"),
    [(False, (), "foreign data"), (True, (), ""), (True, (UUID,), "carries an OSD of this cluster")],
)
def test_data_is_destroyed_only_for_who_named_it(
    host: list[str], tmp_path: Path, destroy: bool, known: tuple[str, ...], said: str
) -> None:
    path = tmp_path / "used.img"
    content = f"bluestore block device\n{UUID}\n" if known else "precious"
    path.write_text(content + "\0" * 100)
    with path.open("r+b") as file:
        file.truncate(SIZE)
    error = _fails_to_make(FakeMonitors(*known), path, addition(path, destroy=destroy))
    assert (said in error) if said else "no more than that" in error
    assert is_blank(path) is (not said)


def _fails_to_make(monitors: Any, path: Path, wanted: OsdAddition) -> str:
    """What making an OSD says; where it would go on to the monitors it is ended."""

    def ask(prefix: str, *_: object, **__: object) -> Any:
        if prefix == "osd new":
            raise HostUnfit("no more than that")
        return FakeMonitors.ask(monitors)

    monitors.ask = ask
    with pytest.raises(HostUnfit) as caught:
        osd.ensure(monitors, path, fsid=FSID, file_bytes=SIZE, addition=wanted)
    return caught.value.message


def test_a_removed_device_gets_an_osd_again_only_when_asked_anew(host: list[str], disk: Path) -> None:
    osd.retire(remembered(disk), FSID, EMPTIED)
    old = Record(device=disk, uuid=UUID, key="", osd_id=3, made=True, addition=ASKED, retired=EMPTIED)
    runs: Callable[[OsdAddition], bool] = lambda it: osds._should_run(  # noqa: E731
        disk, {disk: old}, Wanted(devices=(), additions={disk: it}, wishes={}, progress={})
    )
    assert not runs(addition(disk, destroy=False))
    assert runs(addition(disk, destroy=False, asked=FSID))


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("vdb", None), ("/dev", None), ("/dev/../etc/x", None), ("/dev/x\n", None), ("/srv/a b", None),
        ("/etc/x", None), ("/usr/x", None), ("/srv/x", 1), ("/srv/" + "x" * 200, None),
        ("/srv/.hidden", None), ("", None),
    ],
)  # fmt: skip
def test_what_can_be_no_device_is_refused(path: str, size: int | None) -> None:
    with pytest.raises(InvalidInput):
        osd_additions.check(path, size)
    osd_additions.check("/dev/disk/by-id/scsi-0x:1", SIZE)
