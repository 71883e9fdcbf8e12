"""Encrypted OSDs: which are to be, what is refused before anything is written, and what is said of each."""

from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cbstorage.ceph import cephx
from cbstorage.ceph.answers import OsdEntry, OsdMap
from cbstorage.commands.osd import show
from cbstorage.doctor import diagnose
from cbstorage.host import daemons, device, dmcrypt, encryption, lockbox, osd, osds
from cbstorage.host.device import Contents
from cbstorage.host.osd import Record
from cbstorage.host.osds import Wanted
from cbstorage.host.problems import Problems
from cbstorage.model import ClusterSpecification, Daemon, DaemonKind, HostDaemons
from cbstorage.osd_model import OsdAddition
from cbstorage.wanted.osds import OsdView
from cladnet.commands.enrol import enrol
from cladnet.enrol.join_file import JoinFile, Storage
from larva import files
from larva.errors import HostUnfit, MalformedData

FSID = "5248e297-0307-4aad-a81e-d3b7ee2f8cd4"
UUID = "11111111-0307-4aad-a81e-d3b7ee2f8cd4"
ASKED = "22222222-0307-4aad-a81e-d3b7ee2f8cd4"
NOW = datetime.now(UTC)
SIZE = 1 << 30


class Knows:
    """Monitors with one OSD."""

    def ask(self, *_: object, **__: object) -> OsdMap:
        return OsdMap(osds=(OsdEntry(osd=3, uuid=UUID, up=1),), pools=())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A host whose kernel cannot encrypt; which units were started."""

    def cannot() -> None:
        raise HostUnfit("no dm-crypt here")

    started: list[str] = []
    monkeypatch.setenv("LARVA_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("cbstorage.ceph.conf.DATA", tmp_path / "ceph")
    monkeypatch.setattr("cbstorage.host.systemd.start", started.append)
    monkeypatch.setattr(osd, "_own", lambda _: None)
    monkeypatch.setattr(dmcrypt, "require", cannot)
    return started


def look(
    monitors: Any, path: Path, *, cluster: bool = False, joined: bool = False, named: bool = False,
    added: bool | None = None,
) -> str:  # fmt: skip
    """What a look complains of; `cluster`, the join file (`joined`) and an addition may each want encryption.

    Args:
        named: the join file names the device also where it was added.
    """
    specification = ClusterSpecification(
        group="g", fsid=FSID, cidr=IPv4Network("10.0.0.0/24"), mon_hosts=(), mgr_hosts=(), mds_hosts=(),
        osd_file_bytes=SIZE, encrypt_osds=cluster, created_at=NOW,
    )  # fmt: skip
    additions = {}
    if added is not None:
        additions[path] = OsdAddition(
            group="g", host="h", device=str(path), encrypt=added, asked=ASKED, asked_at=NOW
        )  # fmt: skip
    problems = Problems()
    wanted = Wanted(
        devices=(path,) if named or not additions else (), encrypt=joined, additions=additions, wishes={}, progress={}
    )  # fmt: skip
    osds.tend(monitors, wanted, specification, problems)
    return problems.text()


@pytest.mark.parametrize(
    "who",
    [
        {"cluster": True}, {"joined": True}, {"added": True}, {"cluster": True, "added": False},
        {"joined": True, "named": True, "added": False},
    ],
)  # fmt: skip
def test_what_cannot_be_encrypted_is_not_begun_in_clear(host: list[str], tmp_path: Path, who: dict[str, bool]) -> None:
    disk = tmp_path / "new" / "disk.img"
    assert look(Knows(), disk, **who) == "no dm-crypt here"
    assert not disk.parent.exists()
    assert osd.recall(disk, FSID) is None
    assert host == []


@pytest.mark.parametrize("who", [{}, {"added": False}, {"joined": True, "added": False}])
def test_nothing_is_encrypted_unasked(host: list[str], tmp_path: Path, who: dict[str, bool]) -> None:
    disk = tmp_path / "disk.img"
    assert "has no OSD yet" in look(None, disk, **who)
    made = osd.recall(disk, FSID)
    assert made is not None
    assert not made.encrypted


def test_an_unfinished_one_stays_encrypted_whatever_is_wanted_later(host: list[str], tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    device.make_file(disk, SIZE)
    osd._remember(Record(device=disk, uuid=UUID, key="k", encrypted=True), FSID)
    assert look(Knows(), disk) == "no dm-crypt here"


def test_without_monitors_an_encrypted_one_waits_and_the_others_start(host: list[str], tmp_path: Path) -> None:
    for number, encrypted in ((3, True), (4, False)):
        disk = tmp_path / f"disk{number}.img"
        device.make_file(disk, SIZE)
        record = Record(device=disk, uuid=UUID, key="k", osd_id=number, made=True, encrypted=encrypted)
        osd._remember(record, FSID)
    said = look(None, tmp_path / "disk4.img", cluster=True)
    assert "disk3.img is encrypted, and the monitors have its key" in said
    assert host == ["ceph-osd@4.service"]


def test_while_etcd_is_away_an_encrypted_one_is_opened_before_it_is_started(
    host: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk.img"
    device.make_file(disk, SIZE)
    osd._remember(Record(device=disk, uuid=UUID, key="k", osd_id=3, made=True, encrypted=True), FSID)
    daemons.claim.stake("g", FSID)
    with pytest.raises(HostUnfit, match="does not carry the encrypted OSD"):
        daemons._start(Daemon(kind=DaemonKind.OSD, id="3", running=False))
    daemons._start(Daemon(kind=DaemonKind.MON, id="3", running=False))
    assert host == ["ceph-mon@3.service"]


@pytest.mark.parametrize("destroy", [False, True])
def test_an_encrypted_osd_of_the_cluster_that_this_host_forgot_is_left(
    host: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, destroy: bool
) -> None:
    disk = tmp_path / "disk.img"
    device.make_file(disk, SIZE)
    monkeypatch.setattr(
        osd, "inspect", lambda _: Contents(size_bytes=SIZE, signature="crypto_LUKS", luks_uuid=UUID, blank=False)
    )
    addition = OsdAddition(
        group="g", host="h", device=str(disk), destroy_data=destroy, asked=ASKED, asked_at=NOW
    )  # fmt: skip
    monitors: Any = Knows()
    with pytest.raises(HostUnfit, match="carries an encrypted OSD of this cluster") as caught:
        osd.ensure(monitors, disk, fsid=FSID, file_bytes=SIZE, addition=addition)
    assert "--lost" in caught.value.hint


@pytest.mark.parametrize(("begins", "may"), [(bytes(1 << 15), True), (bytes(4095) + b"x", False), (b"raw", False)])
def test_only_what_begins_with_zeros_is_our_own_format_half_way(tmp_path: Path, begins: bytes, may: bool) -> None:
    """Disks change their names: what is raw data to whoever owns it has no signature either."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(begins + b"\x5a" * (1 << 16))
    if may:
        encryption.check(disk, UUID, begun=True)
    with pytest.raises(HostUnfit, match="foreign data"):
        encryption.check(disk, UUID, begun=not may)


def test_the_identity_that_reads_a_key_is_made_once_and_is_secret(host: list[str]) -> None:
    first = lockbox.prepare(UUID, FSID)
    assert cephx.is_key(first)
    assert lockbox.prepare(UUID, FSID) == first
    assert lockbox.keyring(UUID, FSID).stat().st_mode & 0o777 == files.SECRET
    lockbox.forget(UUID, FSID)
    assert lockbox.prepare(UUID, FSID) != first
    lockbox.keyring(UUID, FSID).write_text("\tkey = x\n")
    with pytest.raises(MalformedData, match="holds no key") as caught:
        lockbox.prepare(UUID, FSID)
    assert first not in caught.value.message


@pytest.mark.parametrize("given", [b"", b"x", b"eA==", b"\xff" * 44, b"A" * 44 + b"\n", b"A" * 200])
def test_what_is_no_key_opens_nothing(given: bytes) -> None:
    with pytest.raises(MalformedData):
        lockbox._checked(given, UUID)
    key = lockbox.new_key().encode()
    assert lockbox._checked(key, UUID) == key


def test_the_list_says_which_are_encrypted(capsys: pytest.CaptureFixture[str]) -> None:
    views = [
        OsdView(id=number, host="h", device=f"/dev/vd{number}", encrypted=each, state=None, wish=None, progress=None)
        for number, each in enumerate((True, False, None))
    ]
    show(tuple(views))
    header, *rows = capsys.readouterr().out.splitlines()
    assert "encrypted" in header
    assert [word in row.split() for row, word in zip(rows[-3:], ("yes", "no", "h"), strict=True)] == [True] * 3


def test_the_doctor_finds_one_in_clear_where_it_should_not_be() -> None:
    told = HostDaemons(
        host="h", address=None,
        daemons=tuple(
            Daemon(kind=DaemonKind.OSD, id=str(number), running=True, device=f"/dev/vd{number}", encrypted=number > 0)
            for number in (0, 1)
        ),
    )  # fmt: skip
    assert list(diagnose([], {}, [told])) == []
    (finding,) = diagnose([], {}, [told], ["/dev/vd0", "/dev/vd1"])
    assert finding.what.startswith("osd.0 on /dev/vd0 is not encrypted")


def test_user_data_may_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARVA_CONFIG", str(tmp_path))
    for encrypt in (True, False):
        given = Storage(devices=(Path("/dev/vdb"),), encrypt=encrypt)
        text = JoinFile(storage=given).text()
        assert ("encrypt = true" in text) is encrypt
        assert "false" not in text
    refused = CliRunner().invoke(enrol, ["token", "create", "--group", "g", "--user-data", "--encrypt"])
    assert refused.exit_code == 2
    assert "--encrypt goes with --device" in refused.output
