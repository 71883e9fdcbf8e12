"""Whatever happens to whoever makes a lab: nothing is left behind, and nothing of others is touched."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from images.clouds.lab import cgroup, leftovers, light, network, preflight, topology_toml
from images.clouds.lab.construction import CGROUP
from images.clouds.lab.lab import Lab
from images.clouds.lab.state import labs_directory
from larva.errors import Conflict, HostUnfit, InvalidInput, LarvaError, NotFound, ProgramFailed

pytestmark = [pytest.mark.root, pytest.mark.lab]

PLAN = topology_toml.default()

# Ends itself by a signal at the n-th program that it runs: right before it, so that what was recorded is not there
# yet, or right after it.
CREATOR = """
import itertools, os, sys
from pathlib import Path
from images.clouds.lab import topology_toml
from images.clouds.lab.lab import Lab
from larva import process
run_id, tree, number, when, signal = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
original, numbers = process.run, itertools.count(1)
def run(*arguments, **options):
    mine = next(numbers)  # machines are launched by several threads: each call has a number of its own
    if mine == number and when == "before":
        os.kill(os.getpid(), signal)
    result = original(*arguments, **options)
    if mine == number and when == "after":
        os.kill(os.getpid(), signal)
    return result
process.run = run
lab = Lab.create(topology_toml.default(), tree, run_id)
lab.launch_all({host.name: "#cloud-config\\n" for host in topology_toml.default().hosts})
lab.rtt(on=True)
lab.forward("control", 22)
print("done", next(numbers) - 1)
"""


def traces(run_id: str) -> list[str]:
    """What there is of a lab on this machine."""
    found = [f"namespace {name}" for name in network.existing(f"{network.PREFIX}{run_id}-")]
    places = (labs_directory() / run_id, leftovers.data_root() / run_id, cgroup.hierarchy() / CGROUP / run_id)
    found += [str(place) for place in places if place.exists()]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [line for line in mounts if f"{network.PREFIX}{run_id}-" in line or f"/labs/{run_id}/" in line]
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
                group = (entry / "cgroup").read_text()
                dead = "\nState:\tZ" in (entry / "status").read_text()
            except OSError:
                continue
            if dead:  # and not reaped yet by the one that it was left to
                continue
            if f"/labs/{run_id}/" in words or f"{network.PREFIX}{run_id}-" in words or f"/{CGROUP}/{run_id}" in group:
                found.append(f"process {entry.name} {words}")
    return found


@pytest.fixture
def run_id() -> Iterator[str]:
    """A run id for one test; what the test leaves is removed."""
    name = f"t{os.getpid() % 100000}{os.urandom(2).hex()}"
    yield name
    Lab(name).destroy()


def end_creator(
    run_id: str, tree: Path, number: int, when: str, number_of_signal: int
) -> subprocess.CompletedProcess[str]:
    """Run the creator until it ends itself."""
    words = [sys.executable, "-c", CREATOR, run_id, str(tree), str(number), when, str(number_of_signal)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 4, 6, 9, 13, 16, 17, 19, 20, 21, 22, 23])
def test_creator_is_killed(run_id: str, lab_tree: Path, number: int, when: str) -> None:
    done = end_creator(run_id, lab_tree, number, when, signal.SIGKILL)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    assert (run_id in {lab.run_id for lab in Lab.all()}) == (labs_directory() / run_id).exists()
    Lab(run_id).status()
    Lab(run_id).destroy()
    assert traces(run_id) == []
    Lab(run_id).destroy()


def test_the_killed_creators_did_reach_every_stage(run_id: str, lab_tree: Path) -> None:
    done = end_creator(run_id, lab_tree, 10_000, "after", signal.SIGKILL)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) >= 23
    assert len([line for line in traces(run_id) if line.startswith("namespace")]) == 10
    assert any(line.startswith("process") for line in traces(run_id))
    Lab(run_id).destroy()
    assert traces(run_id) == []


@pytest.mark.parametrize("number", [2, 6, 12, 15])
def test_interrupted_creation_undoes_itself(run_id: str, lab_tree: Path, number: int) -> None:
    done = end_creator(run_id, lab_tree, number, "after", signal.SIGINT)
    assert "KeyboardInterrupt" in done.stderr
    assert traces(run_id) == []


def test_run_id_is_taken(run_id: str, lab_tree: Path) -> None:
    lab = Lab.create(PLAN, lab_tree, run_id)
    before = traces(run_id)
    with pytest.raises(Conflict, match=f"the run id {run_id} is taken"):
        Lab.create(PLAN, lab_tree, run_id)
    assert traces(run_id) == before
    lab.destroy()


def test_lease_is_held_while_the_lab_lives(
    run_id: str, lab_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARVA_CACHE", str(tmp_path))
    stage = tmp_path / "stages" / "tree" / "0123"
    stage.mkdir(parents=True)
    (stage / "stage.json").touch()
    (stage / "root").symlink_to(lab_tree)
    lab = Lab.create(PLAN, stage / "root", run_id)
    assert (stage / "leases" / run_id).is_file()
    lab.destroy()
    assert list((stage / "leases").iterdir()) == []
    assert traces(run_id) == []


def refused(run_id: str, tree: Path, error: type[LarvaError], said: str) -> None:
    """The lab is refused with a message and a hint, and nothing of it is there."""
    with pytest.raises(error, match=said) as caught:
        Lab.create(PLAN, tree, run_id)
    assert caught.value.hint
    assert traces(run_id) == []


def test_missing_tree(run_id: str, tmp_path: Path) -> None:
    refused(run_id, tmp_path / "none", NotFound, "no image tree")
    refused(run_id, tmp_path, InvalidInput, "no root tree")


def test_missing_device(run_id: str, lab_tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight, "DEVICES", (tmp_path / "tun",))
    refused(run_id, lab_tree, HostUnfit, "there is no .*/tun")


def test_no_overlayfs(run_id: str, lab_tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.write_text("#!/bin/sh\necho \"mount: unknown filesystem type 'overlay'.\" >&2\nexit 32\n")
    mount.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    refused(run_id, lab_tree, HostUnfit, "overlayfs does not work")


def test_no_disk_space(run_id: str, lab_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "needed_bytes", lambda plan, file_system: 1 << 60)
    refused(run_id, lab_tree, HostUnfit, "MiB are free")


def test_missing_program(run_id: str, lab_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "PROGRAMS", (*preflight.PROGRAMS, "no-such-program"))
    refused(run_id, lab_tree, HostUnfit, "missing programs: no-such-program")


def test_network_that_cannot_be_built(run_id: str, lab_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "translation", lambda hosts: "table ip cloud { no such rule }\n")
    with pytest.raises(ProgramFailed, match="nft"):
        Lab.create(PLAN, lab_tree, run_id)
    assert traces(run_id) == []


def test_machine_that_does_not_boot_is_removed_and_can_be_launched_again(
    run_id: str, lab_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab.create(PLAN, lab_tree, run_id)
    with monkeypatch.context() as broken:
        broken.setattr(light, "ASSEMBLE", "echo no init here >&2; exit 3")
        with pytest.raises(ProgramFailed, match="gcp-1 ended:\nno init here"):
            lab.launch("gcp-1", "")
    assert lab.state.launched == ()
    assert not (lab.state.data / "gcp-1").exists()
    assert not lab.machine("gcp-1").made
    lab.launch("gcp-1", "#cloud-config\n").wait_running(timeout=120)
    lab.destroy()
    assert traces(run_id) == []


def test_mount_below_the_data_is_not_emptied(run_id: str, lab_tree: Path, tmp_path: Path) -> None:
    lab = Lab.create(PLAN, lab_tree, run_id)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    point = lab.state.data / "mounted"
    point.mkdir()
    subprocess.run(["mount", "--bind", precious, point], check=True)
    try:
        with pytest.raises(Conflict, match="is mounted below"):
            lab.destroy()
        assert (precious / "file").exists()
    finally:
        subprocess.run(["umount", point], check=True)
    lab.destroy()
    assert traces(run_id) == []
