"""The pipeline on real parts: the tree, the package, the disk, and the booted machine."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from images import artifacts, confine, verify
from images.export import exporting, targets
from images.pipeline import Pipeline, Until
from larva.errors import ProgramFailed, TimedOut

pytestmark = [
    pytest.mark.image,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(3600),  # whoever comes first builds what is not in the cache
    pytest.mark.skipif(os.geteuid() != 0, reason="building an image needs root"),
]
WAIT_S = 20.0


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    made = Pipeline("full")
    made.make_disk()
    return made


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_tree_passes_the_appliances_tests(pipeline: Pipeline) -> None:
    assert " passed" in verify.check_tree(pipeline.make_tree())


def test_a_wrong_tree_does_not_pass(tmp_path: Path) -> None:
    for place in ("bin", "dev", "proc"):
        (tmp_path / place).mkdir()
    with pytest.raises(ProgramFailed, match=r"error|failed"):
        verify.check_tree(tmp_path)


def test_tree_is_built_once(pipeline: Pipeline) -> None:
    again = Pipeline("full")
    if again.tree.id == pipeline.tree.id:  # else the checkout changed under the test
        made_at = pipeline.make_tree().parent.joinpath("stage.json").stat().st_mtime_ns
        assert again.build(Until.TREE).parent.joinpath("stage.json").stat().st_mtime_ns == made_at


def test_package_is_reproducible(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.cache.ensure(pipeline.python)
    pipeline.cache.ensure(pipeline.console_assets)
    hashes = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        pipeline.deb.make(tmp_path / name, tmp_path / "log")
        (package,) = (tmp_path / name).iterdir()
        hashes.add(sha256(package))
    assert len(hashes) == 1


def test_disk_is_reproducible(pipeline: Pipeline, tmp_path: Path) -> None:
    first = sha256(pipeline.make_disk())
    pipeline.cache.ensure(pipeline.tools)
    pipeline.disk.make(tmp_path, tmp_path / "log")
    assert sha256(tmp_path / "disk.raw") == first


def test_disk_has_a_sound_file_system_and_partition_table(pipeline: Pipeline, tmp_path: Path) -> None:
    disk = pipeline.make_disk()
    tools = pipeline.cache.ensure(pipeline.tools) / "root"
    share = {disk.parent: "out"}
    confine.run_in(tools, ["sgdisk", "--verify", "/mnt/out/disk.raw"], share=share, timeout=60)
    listed = confine.run_in(tools, ["sfdisk", "--dump", "/mnt/out/disk.raw"], share=share, timeout=60)
    assert listed.count("start=") == 3
    with (tmp_path / "root.img").open("wb") as root, disk.open("rb") as whole:
        whole.seek(64 << 20)
        while block := whole.read(1 << 22):
            root.write(block) if block.strip(b"\0") else root.seek(len(block), os.SEEK_CUR)
        root.truncate((2048 - 65) << 20)
    confine.run_in(tools, ["e2fsck", "-fn", "/mnt/out/root.img"], share={tmp_path: "out"}, timeout=120)


SLEEPER = """
import sys
from images import confine
print("up", flush=True)
confine.run(["sh", "-c", f"echo $$ > {sys.argv[1]}/pid; sleep 600.{sys.argv[2]}"], timeout=900)
"""


def running(words: str) -> bool:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words in entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


def wait_until(wanted: bool, words: str) -> bool:
    deadline = time.monotonic() + WAIT_S
    while running(words) is not wanted:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_programs_of_a_killed_build_die_with_it(tmp_path: Path) -> None:
    mark = str(os.getpid())
    build = subprocess.Popen([sys.executable, "-c", SLEEPER, tmp_path, mark], stdout=subprocess.PIPE)
    with build:
        assert wait_until(True, f"sleep 600.{mark}"[6:])
        build.send_signal(signal.SIGKILL)
    assert wait_until(False, f"600.{mark}")


def test_programs_that_take_too_long_die() -> None:
    mark = f"601.{os.getpid()}"
    with pytest.raises(TimedOut):
        confine.run(["sleep", mark], timeout=1)
    assert wait_until(False, f"sleep {mark}")


def test_a_tree_is_entered_without_network_and_leaves_no_mount(pipeline: Pipeline) -> None:
    root = pipeline.cache.ensure(pipeline.tools) / "root"
    assert confine.run_in(root, ["cat", "/proc/net/route"], timeout=30).count("\n") <= 1
    with pytest.raises(ProgramFailed):
        confine.run_in(root, ["sh", "-c", "echo 1 > /proc/sys/kernel/sysrq"], timeout=30)
    assert str(root) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.vm
def test_image_boots_passes_and_is_handed_out() -> None:
    pipeline = Pipeline("full")
    published = pipeline.build(Until.ARTIFACTS)
    manifest = artifacts.read(published, "full")
    assert {Path(one.name).suffix for one in manifest.artifacts} == {".qcow2", ".zst", ".deb"}
    assert {"larva", "ceph-osd", "etcd-server"} <= {one.name for one in manifest.packages}
    assert {"larva", "pyroute2"} <= {one.name for one in manifest.python}
    assert [one.name for one in manifest.javascript] == ["cytoscape"]
    assert pipeline.make_bake().ssh_s > 0
    everything = (*manifest.packages, *manifest.python, *manifest.javascript)
    unlicensed = [one.name for one in everything if not one.licences]
    assert len(unlicensed) < len(everything) // 20, unlicensed
    for suffix, said in (("spdx", "SPDX-2.3"), ("cdx", "CycloneDX"), ("provenance", "https://slsa.dev/provenance/v1")):
        (document,) = published.glob(f"*.{suffix}.json")
        assert said in document.read_text()


@pytest.mark.vm
def test_the_image_is_exported_as_the_disk_that_was_built() -> None:
    pipeline = Pipeline("full")
    pipeline.build(Until.ARTIFACTS)
    raw = sha256(pipeline.make_disk())
    found = exporting.export("full", targets.chosen(["aws", "azure", "kvm"]), pipeline.directory)
    assert {one.raw_sha256 for one in found.values()} == {raw}


@pytest.mark.vm
def test_provisioning_is_run_and_a_failing_script_leaves_no_image(tmp_path: Path) -> None:
    """The first script proves what needs a kernel with device mapper: one boot serves both."""
    bad = tmp_path / "bad.sh"
    bad.write_text("#!/bin/sh\necho it is me >&2\nexit 7\n")
    pipeline = Pipeline("full", provision=[Path(__file__).with_name("prove_encryption.py"), bad])
    with pytest.raises(ProgramFailed, match="did not pass its boot") as caught:
        pipeline.make_bake()
    log = re.search(r"all of Packer's output: (\S+);", caught.value.hint)
    assert log is not None
    said = Path(log[1]).read_text(errors="replace")
    assert re.search(r"larva: encryption: \d+ s: proved", said), said[-6000:]
    assert "it is me" in said
    assert not pipeline.cache.has(pipeline.bake)
