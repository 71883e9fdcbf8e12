"""`larva bench storage`: what programs wait for on a volume over three clouds, beside the same host's own disk."""

import json

from images.demo.distances import at_distances
from images.demo.up import MOUNT_POINT, Demo
from larva.bench import Result

BOUND_S = 600.0

# Each phase is timed by itself; reading is another host's, so that nothing comes from the writer's own cache.
_WRITE = """
import json, os, random, sys, time
where, mib, writes, files = sys.argv[1], *map(int, sys.argv[2:])
os.makedirs(where)
took = {}
def timed(name, work):
    start = time.monotonic()
    work()
    took[name] = time.monotonic() - start
def stream():
    block = os.urandom(4 << 20)
    with open(f"{where}/stream", "wb", buffering=0) as file:
        for _ in range(mib // 4):
            file.write(block)
        os.fsync(file.fileno())
def scatter():
    dice = random.Random(1)
    file = os.open(f"{where}/stream", os.O_WRONLY)
    for _ in range(writes):
        os.pwrite(file, os.urandom(4096), dice.randrange(mib << 8) << 12)
        os.fsync(file)
    os.close(file)
def create():
    for number in range(files):
        os.close(os.open(f"{where}/{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL))
for name, work in (("stream", stream), ("scatter", scatter), ("create", create)):
    timed(name, work)
print(json.dumps(took))
"""
_READ = """
import sys, time
start = time.monotonic()
with open(sys.argv[1], "rb", buffering=0) as file:
    while file.read(4 << 20):
        pass
print(time.monotonic() - start)
"""

MIB, WRITES, FILES = 64, 50, 1000


def storage(*, quick: bool) -> list[Result]:
    """Write, read and create on a volume of a demo, at no distance and, without `quick`, with 40 ms between the clouds.

    The peer is the same program on the writer's own disk, which keeps one copy and waits for nobody.
    """
    return at_distances(measure, quick=quick)


def measure(demo: Demo, rtt_ms: float) -> list[Result]:
    """Measure one distance; figures are seconds for the whole of a phase, but of a random write per write."""
    writer, reader, *_ = demo.storage
    name = f"bench-{rtt_ms:g}"
    volume, own = f"{MOUNT_POINT}/{name}", f"/var/tmp/{name}"  # noqa: S108 - on the bench's own machine
    found, beside = (_write(demo, writer.name, where) for where in (volume, own))
    read_s = _read(demo, reader.name, f"{volume}/stream")
    own_read_s = _read(demo, writer.name, f"{own}/stream")
    rows = [
        (f"{MIB} MiB written in blocks of 4 MiB and synced", found["stream"], beside["stream"]),
        (f"{MIB} MiB read by another host", read_s, own_read_s),
        ("4 KiB written at random and synced", found["scatter"] / WRITES, beside["scatter"] / WRITES),
        (f"{FILES} files created", found["create"], beside["create"]),
    ]
    return [
        Result(
            metric=f"{what}, {rtt_ms:g} ms", unit="s", value=value, peer="the host's own disk", peer_value=peer
        )
        for what, value, peer in rows
    ]  # fmt: skip


def _write(demo: Demo, host: str, where: str) -> dict[str, float]:
    words = ["python3", "-c", _WRITE, where, *map(str, (MIB, WRITES, FILES))]
    return {name: float(took) for name, took in json.loads(demo.run(host, words, timeout=BOUND_S)).items()}


def _read(demo: Demo, host: str, path: str) -> float:
    return float(demo.run(host, ["python3", "-c", _READ, path], timeout=BOUND_S))
