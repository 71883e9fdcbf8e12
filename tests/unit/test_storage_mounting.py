"""How a host mounts: the programs' words, reading only, and a volume that does not answer."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import pytest

from cbstorage.ceph import cephx
from cbstorage.host import systemd
from cbstorage.model import MountPhase, MountSpecification, VolumeSpecification
from cbstorage.mounting import clients, mount_point
from cbstorage.mounting.clients import Mount, Mounted
from cbstorage.mounting.mount_probe import Answer
from cbstorage.mounting.mounts import GIVE_UP_S, Known, MountKeeper
from cladnet.etcd.store import Store

VOLUME = VolumeSpecification(
    group="demo", name="data", id="11112222", size_bytes=1 << 30, created_at=datetime(2026, 1, 1, tzinfo=UTC)
)
MOUNT = Mount(
    unit="larva-mount-demo_data.service",
    identity=cephx.Identity(entity=VOLUME.entity("aws-1"), key="SECRET"),
    fsid="5248e297-0307-4aad-a81e-d3b7ee2f8cd4",
    monitors=(IPv4Address("192.168.10.2"), IPv4Address("192.168.10.3")),
    source=VOLUME.path,
    path=Path("/srv/data"),
    configuration=Path("/c/ceph.conf"),
    keyring=Path("/c/keyring"),
)


def test_the_kernel_s_client_is_told_msgr2_and_never_its_key() -> None:
    command = clients.kernel_command(MOUNT, Path("/c/keyring.secret"))
    assert command == [
        "mount", "-t", "ceph",
        f"data.11112222.aws-1@{MOUNT.fsid}.cladfs=/volumes/demo/data.11112222", Path("/srv/data"), "-o",
        (
            "mon_addr=192.168.10.2:3300/192.168.10.3:3300,secretfile=/c/keyring.secret,ms_mode=prefer-crc,"
            "recover_session=clean,mount_timeout=30,noshare,nopoolperm"
        ),
    ]  # fmt: skip
    nearest = clients.kernel_command(replace(MOUNT, location="root=default zone=z host=aws-1"), Path("/s"))
    assert str(nearest[-1]).endswith(",read_from_replica=localize,crush_location=root:default|zone:z|host:aws-1")
    read_only = clients.kernel_command(replace(MOUNT, read_only=True), Path("/s"))
    assert str(read_only[-1]).endswith(",ro")


def test_ceph_fuse_is_told_what_and_where_and_how() -> None:
    assert clients.fuse_command(replace(MOUNT, read_only=True)) == [
        "ceph-fuse", "-f", "--conf", Path("/c/ceph.conf"), "--name", "client.data.11112222.aws-1",
        "--keyring", Path("/c/keyring"), "--client_fs", "cladfs", "--localize-reads",
        "-r", "/volumes/demo/data.11112222",
        "-o", "ro", Path("/srv/data"),
    ]  # fmt: skip
    assert "-o" not in clients.fuse_command(MOUNT)


def test_a_key_for_reading_lets_nobody_write() -> None:
    caps = cephx.volume_caps(file_system="cladfs", path="/v", data_pool="d", namespace="n", read_only=True)
    assert caps["mds"] == "allow r fsname=cladfs path=/v"
    assert caps["osd"] == "allow r pool=d namespace=n"
    assert VOLUME.entity("aws-1", read_only=True) != VOLUME.entity("aws-1")


class Silent:
    """A mount that answers as told, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.now, self.answer, self.taken = 0.0, Answer.SILENT, 0
        self.there: Mounted | None = Mounted(kind="fuse.ceph-fuse", source="ceph-fuse")
        monkeypatch.setenv("LARVA_STATE", str(tmp_path))
        monkeypatch.setattr(clients, "mounted_at", lambda _: self.there)
        monkeypatch.setattr(clients, "unmount", self._take)
        monkeypatch.setattr(clients, "take_away", lambda _, **named: None)
        monkeypatch.setattr(systemd, "state", lambda _: "active")
        monkeypatch.setattr(mount_point, "prepare", lambda _: None)
        self.keeper = MountKeeper(cast("Store", None), "demo", "aws-1", clock=lambda: self.now)
        monkeypatch.setattr(self.keeper, "_probe", self)
        monkeypatch.setattr(self.keeper, "_mount", self._mount)
        self.known = Known(
            specification=MountSpecification(volume="data", volume_id=VOLUME.id, host="aws-1", path="/srv/data"),
            fsid=MOUNT.fsid, entity=MOUNT.identity.entity, source=MOUNT.source, monitors=MOUNT.monitors,
        )  # fmt: skip

    def ask(self, path: Path) -> tuple[Answer, str]:
        del path
        return self.answer, ""

    def _take(self, *words: Any, **named: Any) -> None:
        del words, named
        self.taken += 1
        self.there = None

    def _mount(self, known: Known) -> str:
        del known
        self.there = Mounted(kind="fuse.ceph-fuse", source="ceph-fuse")
        return "ceph-fuse"

    def keep(self) -> MountPhase:
        keep: Callable[[Known], tuple[MountPhase, str, str]] = self.keeper._keep
        return keep(self.known)[0]


def test_a_silent_volume_is_taken_away_after_a_while_and_mounted_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    silent = Silent(monkeypatch, tmp_path)
    assert silent.keep() is MountPhase.FAILED
    silent.now = GIVE_UP_S - 1
    assert silent.keep() is MountPhase.FAILED
    assert silent.taken == 0
    silent.now = GIVE_UP_S
    assert silent.keep() is MountPhase.MOUNTED
    assert silent.taken == 1


def test_silence_is_counted_without_a_break(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    silent = Silent(monkeypatch, tmp_path)
    silent.keep()
    silent.now, silent.answer = GIVE_UP_S - 1, Answer.ALIVE
    assert silent.keep() is MountPhase.MOUNTED
    silent.answer = Answer.SILENT
    silent.keep()
    silent.now += GIVE_UP_S - 1
    silent.keep()
    assert silent.taken == 0


@pytest.mark.parametrize(
    ("kind", "dead", "words"),
    [
        ("ceph", True, ["umount", "--force", "--lazy", Path("/srv/data")]),
        ("ceph", False, ["umount", "--lazy", Path("/srv/data")]),
        ("fuse.ceph-fuse", True, ["umount", "--lazy", Path("/srv/data")]),
    ],
)
def test_only_a_dead_mount_of_the_kernel_s_is_forced_away(
    kind: str, dead: bool, words: list[str | Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forcing throws away what a living one has not written yet; a dead one's users would wait without end."""
    ran: list[list[str | Path]] = []
    monkeypatch.setattr(clients, "mounted_at", lambda _: Mounted(kind=kind, source=f"a@f.cladfs={VOLUME.path}"))
    monkeypatch.setattr(clients, "is_ours", lambda *_, **named: True)
    monkeypatch.setattr(systemd, "stop", lambda _: None)
    monkeypatch.setattr(clients.process, "run", lambda argv, **named: ran.append(argv) or "")
    clients.unmount("unit", Path("/srv/data"), source=VOLUME.path, dead=dead)
    assert ran == [words]


def test_a_volume_whose_key_was_ended_at_once_is_mounted_anew_unasked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its client may wait without end for metadata servers that shut it out."""
    alive = Silent(monkeypatch, tmp_path)
    alive.answer = Answer.ALIVE
    assert alive.keep() is MountPhase.MOUNTED
    assert alive.taken == 0
    alive.keeper._ended.add("data")
    assert alive.keep() is MountPhase.MOUNTED
    assert alive.taken == 1
