"""`larva bench storage`: what programs wait for on a volume over three clouds, beside the same without the overlay."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from images.demo import direct
from images.demo.distances import even_demo
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
ROUNDS = 3
KEPT = 0.95
"""Of the speed without the overlay, on the link of the bar."""
PHASES = {
    "stream": f"{MIB} MiB written in blocks of 4 MiB and synced",
    "read": f"{MIB} MiB read by another host",
    "scatter": "4 KiB written at random and synced",
    "create": f"{FILES} files created",
}
Seconds = Mapping[str, float]
"""By phase: for the whole of it, but of a random write per write."""


@dataclass(frozen=True, slots=True)
class Link:
    """What lies between any two clouds."""

    rtt_ms: float
    mbit_s: float = 0.0
    """What each sends at most; 0 for no bound."""

    def __str__(self) -> str:
        return f"{self.rtt_ms:g} ms, {self.mbit_s:g} Mbit/s" if self.mbit_s else f"{self.rtt_ms:g} ms"


LINKS = (Link(0), Link(40), Link(40, 200))
BARRED = LINKS[-1]


def storage(*, quick: bool) -> list[Result]:
    """Write, read and create on a volume of a demo, on each link; only on the first one, once, if `quick`.

    The peers are the same programs on the same cluster without the overlay, and on the writer's own disk, which keeps
    one copy and waits for nobody. Rounds alternate between them; the median of each counts.
    """
    results: list[Result] = []
    with even_demo() as demo, direct.running(demo) as beside:
        for link in LINKS[:1] if quick else LINKS:
            demo.lab.rate(link.mbit_s)
            demo.lab.rtt(on=link.rtt_ms > 0)
            results += measure(demo, beside, link, rounds=1 if quick else ROUNDS)
    return results


def measure(demo: Demo, beside: Path, link: Link, *, rounds: int) -> list[Result]:
    """Measure on one link, in seconds.

    Args:
        beside: where the cluster without the overlay is mounted.
        rounds: how often each is measured.
    """
    # What was written stays: removing it takes a round trip a file, and the volume has room for all rounds.
    own_disk = Path("/var/tmp")  # noqa: S108 - on the bench's own machine
    found: dict[Path, list[Seconds]] = {MOUNT_POINT: [], beside: [], own_disk: []}
    for number in range(rounds):
        for place, taken in found.items():
            name = f"{place}/bench-{link.rtt_ms:g}-{link.mbit_s:g}-{number}"
            taken.append(_seconds(demo, name, is_shared=place != own_disk))
    over, without, disk = (_medians(taken) for taken in found.values())
    return list(_results(link, over, without, disk))


def _results(link: Link, over: Seconds, without: Seconds, disk: Seconds) -> Iterator[Result]:
    for phase, words in PHASES.items():
        barred = link == BARRED and phase in ("stream", "read")
        yield Result(
            metric=f"{words}, {link}", unit="s", value=over[phase], peer="the same cluster without the overlay",
            peer_value=without[phase], bar=without[phase] / KEPT if barred else None,
        )  # fmt: skip
        yield Result(
            metric=f"{words}, {link}", unit="s", value=over[phase], peer="the host's own disk", peer_value=disk[phase]
        )


def _medians(taken: Sequence[Seconds]) -> Seconds:
    return {phase: statistics.median(one[phase] for one in taken) for phase in PHASES}


def _seconds(demo: Demo, directory: str, *, is_shared: bool) -> Seconds:
    writer, reader, *_ = demo.storage
    found = _write(demo, writer.name, directory)
    read_s = _read(demo, (reader if is_shared else writer).name, f"{directory}/stream")
    return {**found, "scatter": found["scatter"] / WRITES, "read": read_s}


def _write(demo: Demo, host: str, where: str) -> dict[str, float]:
    words = ["python3", "-c", _WRITE, where, *map(str, (MIB, WRITES, FILES))]
    return {name: float(took) for name, took in json.loads(demo.run(host, words, timeout=BOUND_S)).items()}


def _read(demo: Demo, host: str, path: str) -> float:
    return float(demo.run(host, ["python3", "-c", _READ, path], timeout=BOUND_S))
