"""What storage finds wrong on a host."""

from pathlib import Path

import pytest

from cbstorage.doctor import MountCondition, _mounts, diagnose
from cbstorage.model import Daemon, DaemonKind, HostDaemons, MountPhase, MountSpecification, MountState
from cbstorage.mounting.mount_probe import Answer
from cbstorage.mounting.mounts import Known
from larva import codec

WELL = MountCondition(group="g", volume="v", path="/srv/v", mounted=True, answer=Answer.ALIVE)
REPORT = MountState(
    volume="v", volume_id="0123abcd", host="a", path="/srv/v", phase=MountPhase.FAILED, problem="no monitor"
)


def test_a_host_whose_mounts_answer_is_well_and_so_is_one_without_any() -> None:
    assert list(diagnose([WELL], {}, [])) == []
    assert list(diagnose([], {}, [])) == []


def test_each_fault_is_told_once() -> None:
    silent = MountCondition(
        group="g", volume="v", path="/srv/v", mounted=True, answer=Answer.SILENT, words="no answer within 5 s"
    )
    (finding,) = diagnose([silent], {("g", "v"): REPORT}, [])
    assert "/srv/v does not answer: no answer within 5 s" in finding.what
    absent = MountCondition(group="g", volume="v", path="/srv/v", mounted=False, answer=None, words="no monitor")
    (finding,) = diagnose([absent], {("g", "v"): REPORT}, [])
    assert "not mounted at /srv/v: no monitor" in finding.what
    (finding,) = diagnose([], {("g", "v"): REPORT}, [])
    assert finding.what == "no monitor"
    daemons = HostDaemons(
        host="a", address=None, daemons=(Daemon(kind=DaemonKind.OSD, id="3", running=False),), problem="no address"
    )
    assert [finding.what for finding in diagnose([WELL], {}, [daemons])] == ["no address", "osd 3 does not run"]


def test_what_this_host_remembers_to_mount_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARVA_STATE", str(tmp_path))
    for volume, path in (("here", "/proc"), ("away", str(tmp_path / "nothing"))):
        directory = tmp_path / "storage" / "mount" / "g" / volume
        directory.mkdir(parents=True)
        known = Known(
            specification=MountSpecification(volume=volume, volume_id="0123abcd", host="a", path=path),
            fsid="f", entity="e",
            source="/", monitors=(),
        )  # fmt: skip
        (directory / "mount.json").write_bytes(codec.encode(known))
    away, here = _mounts({("g", "away"): REPORT})
    assert (away.mounted, away.answer, away.words) == (False, None, "no monitor")
    assert (here.mounted, here.answer) == (True, Answer.ALIVE)
