"""A lab's files: run ids, the lock, what is left over, the first boot's layer. No root, no kernel."""

import os
import re
import socket
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from images.clouds.lab import cgroup, forward, leftovers, network, preflight, seed, topology_toml
from images.clouds.lab.cli import COMMANDS
from images.clouds.lab.lab import Lab
from images.clouds.lab.light import ASSEMBLE, ENTER, MASKED, SUPERVISE, environment
from images.clouds.lab.state import Phase, State, StateFile
from images.clouds.lab.topology import Role
from images.demo.cli import up
from larva import settings
from larva.errors import Conflict, HostUnfit, InvalidInput, LarvaError, NotFound

PLAN = topology_toml.default()


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Labs and cache in a directory of the test."""
    monkeypatch.setattr(settings, "RUN_DIRECTORY", tmp_path / "run")
    monkeypatch.setenv("LARVA_CACHE", str(tmp_path / "cache"))
    return tmp_path


def made(run_id: str, places: Path) -> Lab:
    """A lab of which there is only the state."""
    lab = Lab(run_id)
    lab.file.directory.mkdir(parents=True)
    lab.file.save(
        State(
            run_id=run_id, created_at=datetime.now(UTC), phase=Phase.UP, topology=PLAN, tree=places / "tree",
            data=leftovers.data_root() / run_id, cgroup=places / "no-cgroup", leases=(places / "lease",),
        )
    )  # fmt: skip
    return lab


@pytest.mark.parametrize("run_id", ["", "UP", "a-b", "../x", "toolongarunid", "a b", "a\n"])
def test_run_id_that_cannot_be_part_of_names(run_id: str) -> None:
    with pytest.raises(InvalidInput):
        Lab(run_id)


def test_state_survives_the_disk(places: Path) -> None:
    lab = made("a1", places)
    state = lab.state
    assert state.topology == PLAN
    assert stat.S_IMODE(lab.file.path.stat().st_mode) == 0o600
    lab.file.save(state)
    assert lab.state == state


def test_unknown_lab(places: Path) -> None:
    with pytest.raises(NotFound, match="nolab"):
        Lab.find("nolab")
    with pytest.raises(NotFound, match="no lab is up"):
        Lab.find()
    with pytest.raises(NotFound), StateFile("nolab").locked():
        pass
    Lab("nolab").destroy()


def test_which_lab_must_be_said_when_there_are_two(places: Path) -> None:
    made("a1", places)
    assert Lab.find().run_id == "a1"
    made("b2", places)
    with pytest.raises(Conflict, match="a1, b2"):
        Lab.find()
    assert Lab.find("b2").run_id == "b2"


def test_unknown_hosts_and_clouds(places: Path) -> None:
    lab = made("a1", places)
    for attempt in (
        lambda: lab.machine("nobody"), lambda: lab.launch("nobody", ""), lambda: lab.cut("nowhere"),
        lambda: lab.forward("nobody", 80), lambda: lab.readdress("nobody"), lambda: lab.ssh_command("nobody"),
    ):  # fmt: skip
        with pytest.raises(NotFound, match=r"there is no (host|cloud)"):
            attempt()
    assert lab.state.launched == ()


def test_machine_that_was_not_launched(places: Path) -> None:
    machine = made("a1", places).machine("aws-1")
    assert not machine.on
    with pytest.raises(NotFound, match="not launched"):
        machine.power_on()
    with pytest.raises(NotFound, match="not running"):
        machine.run(["true"])


def test_lab_that_is_being_destroyed_takes_no_change(places: Path) -> None:
    lab = made("a1", places)
    lab.file.save(State(**{name: getattr(lab.state, name) for name in State.__slots__} | {"phase": Phase.DESTROYING}))
    with pytest.raises(Conflict, match="destroying"):
        lab.cut("aws")


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_impossible_port(places: Path, port: int) -> None:
    lab = made("a1", places)
    with pytest.raises(InvalidInput):
        lab.forward("aws-1", port)
    with pytest.raises(InvalidInput):
        lab.forward("aws-1", 80, listen=port)


def test_sweep_removes_what_gone_labs_left_and_nothing_else(places: Path) -> None:
    alive = made("alive", places)
    stage = leftovers.data_root().parent / "stages" / "tree" / "0123"
    (stage / "tree").mkdir(parents=True)
    (stage / "stage.json").touch()
    for run_id in ("alive", "gone"):
        owner = leftovers.Owner(run_id=run_id, directory=alive.file.directory.parent / run_id)
        (leftovers.data_root() / run_id / "vm" / "upper").mkdir(parents=True)
        leftovers.mark(leftovers.data_root() / run_id / leftovers.OWNER, owner)
        lease = leftovers.lease_on(stage / "tree", run_id)
        assert lease == stage / "leases" / run_id
        leftovers.mark(lease, owner)
    (leftovers.data_root() / "somebody-elses").mkdir()
    leftovers.sweep()
    assert sorted(entry.name for entry in leftovers.data_root().iterdir()) == ["alive", "somebody-elses"]
    assert [entry.name for entry in (stage / "leases").iterdir()] == ["alive"]
    assert leftovers.sweep() == ()


def test_no_lease_on_a_tree_from_elsewhere(places: Path) -> None:
    assert leftovers.lease_on(places / "tree", "a1") is None
    assert leftovers.lease_on(leftovers.data_root().parent / "stages" / "x" / "tree", "a1") is None


def test_first_boots_layer(tmp_path: Path) -> None:
    tree, upper = tmp_path / "tree", tmp_path / "upper"
    (tree / "var" / "lib").mkdir(parents=True)
    (tree / "var" / "lib").chmod(0o751)
    upper.mkdir()
    host = PLAN.host("gcp-1")
    facts = seed.metadata(host, PLAN.cloud("gcp"), instance="i-1", authorized_keys=("ssh-ed25519 AAAA",))
    seed.write(upper, tree, host=host, metadata=facts, user_data="#cloud-config\n")
    nocloud = upper / "var/lib/cloud/seed/nocloud"
    assert (nocloud / "user-data").read_text() == "#cloud-config\n"
    assert stat.S_IMODE((nocloud / "user-data").stat().st_mode) == 0o600
    assert '"local-hostname": "gcp-1"' in (nocloud / "meta-data").read_text()
    assert '"public-ipv4": "203.0.113.75"' in (nocloud / "meta-data").read_text()
    assert stat.S_IMODE((upper / "var/lib").stat().st_mode) == 0o751
    assert stat.S_IMODE((upper / "var/lib/larva").stat().st_mode) == 0o700


def test_environment_holds_all_that_the_scripts_read() -> None:
    cable = network.cable(network.Names("a1"), PLAN, PLAN.hosts[1], Path("/run"))
    found = environment(
        tree=Path("/t"), base=Path("/b"), payload=Path("/c"), disks=Path("/var/lib/larva/disks"), cable=cable
    )
    read = set(re.findall(r"\$([A-Z_]+)", SUPERVISE + ENTER + ASSEMBLE))
    assert read <= found.keys()
    assert (found["PORT"], found["NAMESPACE"], found["GATEWAY"]) == ("h1", "larva-a1-vm-aws-1", "larva-a1-gw-aws")
    assert found["DISKS"] == "var/lib/larva/disks"
    assert found["MASKS"].count("systemd.mask=") == len(MASKED) == len(set(MASKED))


def test_listening_takes_the_next_free_port() -> None:
    with forward.listen(20000) as first, forward.listen(first.getsockname()[1]) as second:
        assert second.getsockname()[1] > first.getsockname()[1]
        with pytest.raises(OSError, match="no free port"):
            forward.listen(first.getsockname()[1], tries=1)
        assert first.getsockname()[0] == "127.0.0.1"
        assert first.family == socket.AF_INET


def test_preflight_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="no image tree"):
        preflight.check_tree(tmp_path / "no")
    with pytest.raises(InvalidInput, match="no root tree"):
        preflight.check_tree(tmp_path)
    (tmp_path / "a,b").mkdir()
    with pytest.raises(InvalidInput, match="cannot be mounted"):
        preflight.check_tree(tmp_path / "a,b")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HostUnfit, match="needs root") as caught:
        Lab.create(PLAN, tmp_path)
    assert "sudo" in caught.value.hint


def test_preflight_names_missing_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostUnfit, match=r"missing programs: ip, .*unshare"):
        preflight.check(PLAN, tmp_path, tmp_path)


def test_room_is_kept_for_monitors_that_stop_on_a_full_disk() -> None:
    without = replace(PLAN, hosts=tuple(host for host in PLAN.hosts if Role.STORAGE not in host.roles))
    assert preflight.needed_bytes(PLAN, 100 << 30) - preflight.needed_bytes(PLAN, 0) == 5 << 30
    assert preflight.needed_bytes(without, 100 << 30) == preflight.needed_bytes(without, 0)


def test_what_the_demo_lacks_is_said_before_an_image_is_built(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight, "PROGRAMS", ("no-such-program",))
    made("taken", places)

    def error(*words: str) -> BaseException | None:
        return CliRunner().invoke(up, words).exception

    assert isinstance(error("--run", "UP"), InvalidInput)
    taken = error("--run", "taken")
    assert isinstance(taken, Conflict)
    assert "--replace" in taken.hint
    assert Lab.find("taken").state.phase is Phase.UP
    unfit = error("--run", "new")
    assert isinstance(unfit, HostUnfit)
    assert "no-such-program" in unfit.message
    assert not (places / "cache" / "stages").exists()


def test_cgroup_that_is_not_there(tmp_path: Path) -> None:
    group = tmp_path / "none"
    assert cgroup.processes(group) == ()
    assert not cgroup.populated(group)
    assert cgroup.wait_empty(group, timeout=0)
    cgroup.kill(group)
    cgroup.remove(group)
    with pytest.raises(LarvaError):
        cgroup.spawn(["true"], group=group, log_file=tmp_path / "log")


def test_machine_without_the_unified_hierarchy(tmp_path: Path) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text("30 20 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n")
    with pytest.raises(HostUnfit, match="unified cgroup hierarchy"):
        cgroup.hierarchy(mountinfo)
    mountinfo.write_text("31 20 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n")
    assert cgroup.hierarchy(mountinfo) == Path("/sys/fs/cgroup")


def demo(*words: str) -> Result:
    """Run a command of `larva demo` in this process."""
    group = click.Group(commands={str(command.name): command for command in COMMANDS})
    return CliRunner().invoke(group, list(words))


def test_down_takes_down_what_is_named(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "no lab is up" in demo("down").stderr
    labs = [made(run_id, places) for run_id in ("a1", "b2", "c3")]
    (labs[0].file.directory / "state.json").unlink()  # its creator was killed before it wrote anything
    for lab in labs:
        (leftovers.data_root() / lab.run_id / "vm").mkdir(parents=True)
    assert isinstance(demo("down").exception, Conflict)
    assert isinstance(demo("down", "--run", "zz").exception, NotFound)
    assert [lab.run_id for lab in Lab.all()] == ["a1", "b2", "c3"]
    assert demo("down", "--run", "a1").exit_code == 0
    assert [lab.run_id for lab in Lab.all()] == ["b2", "c3"]
    assert demo("down", "--all").exit_code == 0
    assert Lab.all() == ()
    assert [entry.name for entry in leftovers.data_root().iterdir()] == ["a1"]  # nothing says whose: never removed


@pytest.mark.parametrize(
    "words", [("status",), ("down",), ("exec", "a", "b"), ("ssh", "a"), ("cut", "a"), ("rtt", "on")]
)
def test_commands_need_root(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    error = demo(*words).exception
    assert isinstance(error, HostUnfit)
    assert "sudo" in error.hint
