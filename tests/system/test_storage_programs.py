"""A file system mounted twice under programs that others wrote: fio, dbench, stress-ng, and locks of two kinds."""

import os
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from small_ceph import Mount, SmallCeph

from larva.errors import ProgramFailed

pytestmark = [pytest.mark.root, pytest.mark.image]

BOUND_S = 240.0
"""For a program that takes seconds on a machine that does nothing else."""

STRESSORS = {
    "names": "access chdir chmod chown filename getdent mknod open rename touch utime xattr",
    "content": "copy-file fallocate fcntl flock fpunch hdd iomix lease locka lockf lockofd sync-file",
}
"""Of stress-ng's class `filesystem`, those about the directory they are given that are soon cleaned up after."""

HELD = """
import fcntl, os, sys
kind, name = sys.argv[1:]
file = open(name, "a+")
try:
    (fcntl.flock if kind == "flock" else fcntl.lockf)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("held by another")
    sys.exit()
print("mine", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def mounts(small_ceph: SmallCeph) -> Iterator[tuple[Mount, Mount]]:
    """The same directory by two clients."""
    with small_ceph.mount() as one, small_ceph.mount() as other:
        yield one, other


def need(program: str) -> None:
    if shutil.which(program) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{program} is not installed: run `make setup`")


def directory(mount: Mount) -> str:
    """A new directory on the volume, by its name."""
    name = f"d{secrets.token_hex(4)}"
    mount.run(["mkdir", name])
    return name


def test_fio_verifies_through_one_mount_what_it_wrote_through_the_other(mounts: tuple[Mount, Mount]) -> None:
    need("fio")
    one, other = mounts
    name = directory(one)
    job = [
        "fio", "--name=job", "--rw=randwrite", "--bsrange=1k-64k", "--bs_unaligned", "--size=16m", "--nrfiles=4",
        "--fsync=64", "--randseed=7", "--verify=crc32c", "--verify_fatal=1", "--thread",
    ]  # fmt: skip
    one.small.run_outside([*job, f"--directory={one.outside / name}", "--do_verify=0"], timeout=BOUND_S)
    verify = [*job, f"--directory={other.outside / name}", "--verify_only"]
    other.small.run_outside(verify, timeout=BOUND_S)
    spoil = ["dd", "if=/dev/urandom", f"of={name}/job.0.0", "bs=4k", "count=1", "seek=100", "conv=notrunc,fsync"]
    one.run(spoil)
    with pytest.raises(ProgramFailed, match="verify"):
        other.small.run_outside(verify, timeout=BOUND_S)


def test_dbench_runs_on_both_at_once(mounts: tuple[Mount, Mount]) -> None:
    need("dbench")
    name = directory(mounts[0])

    def load(mount: Mount) -> str:
        where = mount.outside / name / mount.name
        mount.run(["mkdir", f"{name}/{mount.name}"])
        return mount.small.run_outside(
            ["dbench", "-t", "3", "-c", "/usr/share/dbench/client.txt", "-D", where, "1"], timeout=BOUND_S
        )

    with ThreadPoolExecutor(2) as pool:
        for said in pool.map(load, mounts):
            assert "Throughput" in said
            assert "ERROR" not in said


def test_stress_ng_finds_nothing_wrong(mounts: tuple[Mount, Mount]) -> None:
    need("stress-ng")
    name = directory(mounts[0])

    def load(mount: Mount, stressors: str) -> None:
        words = [word for stressor in stressors.split() for word in (f"--{stressor}", "1")]
        mount.small.run_outside(
            ["stress-ng", "--verify", "--temp-path", mount.outside / name, "--timeout", "3s", *words], timeout=BOUND_S
        )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(load, mounts, STRESSORS.values()))


@pytest.mark.parametrize("kind", ["flock", "fcntl"])
def test_a_lock_of_one_holds_off_the_other(mounts: tuple[Mount, Mount], kind: str) -> None:
    one, other = mounts
    name = f"lock-{kind}"
    one.write(name, b"")

    def attempt() -> str:
        return other.run(["python3", "-c", HELD, kind, name]).strip()

    holder = one.start(["python3", "-c", HELD, kind, name])
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mine\n"
        assert attempt() == "held by another"
    finally:
        holder.communicate(timeout=BOUND_S)  # it reads the end of its input, and ends
    assert attempt() == "mine"
