"""A checked workload: on each host a writer of numbered records, and a reader that knows what each must be.

A record counts once it is acknowledged: written and synced on the volume, then noted on the host's own disk with the
time. The writer goes on by itself after any error and any restart of its host, with the record it was at.
"""

import itertools
import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from images.demo.up import MOUNT_POINT, Demo
from larva.errors import LarvaError

DIRECTORY = "/var/lib/faults"
UNIT = "faults-writer.service"

RECORD = """
import hashlib, os, sys, time
SIZE, EVERY = 64, 32  # bytes of a record; every so many records, a file of its own besides
def record(name, number):
    return b"%012d " % number + hashlib.sha256(b"%s %d" % (name.encode(), number)).hexdigest()[:50].encode() + b"\\n"
"""

# It opens the mount first and looks at what it has opened: without the volume it must not write to the host's disk.
WRITER = (
    RECORD
    + """
mount, name, notes = sys.argv[1:]
def whole(line):
    words = line.split()
    return len(words) == 2 and line.endswith("\\n")
number = 0
if os.path.exists(notes):
    with open(notes) as file:
        number = max((int(line.split()[0]) + 1 for line in file if whole(line)), default=0)
def opened():
    root = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    if os.fstat(root).st_dev == os.stat("/").st_dev:
        os.close(root)
        raise OSError("the volume is not mounted")
    return root
def publish(root):
    own, last = f"{name}.{number}.new", f"{name}.{number}"
    file = os.open(own, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=root)
    try:
        os.pwrite(file, record(name, number), 0)
        os.fsync(file)
    finally:
        os.close(file)
    os.rename(own, last, src_dir_fd=root, dst_dir_fd=root)
    os.fsync(root)
with open(notes, "a", buffering=1) as noted:
    noted.write("\\n")  # a line that was cut short is no acknowledgement
    while True:
        try:
            root = opened()
            try:
                file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=root)
                try:
                    while True:
                        os.pwrite(file, record(name, number), number * SIZE)
                        os.fsync(file)
                        if number % EVERY == 0:
                            publish(root)
                        noted.write(f"{number} {time.monotonic():.3f}\\n")
                        number += 1
                        time.sleep(0.02)  # so that the machine has time for what is tested
                finally:
                    os.close(file)
            finally:
                os.close(root)
        except OSError as error:
            print(error, flush=True)
            time.sleep(0.3)
"""
)

READER = (
    RECORD
    + """
import json
mount, wanted = sys.argv[1], json.loads(sys.argv[2])
wrong = []
there = set(os.listdir(mount))
for name, count in wanted.items():
    with open(f"{mount}/{name}", "rb") as file:
        content = file.read()
    wrong += [f"{name}: record {n}" for n in range(count) if content[n * SIZE : n * SIZE + SIZE] != record(name, n)]
    for n in range(0, count, EVERY):
        own = f"{name}.{n}"
        if own not in there or open(f"{mount}/{own}", "rb").read() != record(name, n):
            wrong.append(f"{own}: the file")
print(json.dumps(wrong[:20]))
"""
)

SERVICE = """
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/python3 {directory}/writer.py {mount} {name} {directory}/notes
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One acknowledged record."""

    number: int
    at_s: float
    """CLOCK_MONOTONIC, the same on every host of a lab and for the test."""


def parse(text: str) -> list[Note]:
    """Return what a writer noted; a line that was cut short is left out."""
    lines = [line.split() for line in text.splitlines()]
    return [Note(number=int(words[0]), at_s=float(words[1])) for words in lines if len(words) == 2]


def gaps(notes: Sequence[Note], start_s: float, end_s: float) -> float:
    """Return the longest time between two acknowledgements that touches a span of time, in seconds."""
    times = [*(note.at_s for note in notes if note.at_s <= end_s), end_s]
    pairs = itertools.pairwise(times)
    return max((later - earlier for earlier, later in pairs if later >= start_s), default=0.0)


class Workload:
    """The writers of a demo's storage hosts."""

    def __init__(self, demo: Demo, hosts: Iterable[str]) -> None:
        self._demo = demo
        self.hosts = tuple(hosts)

    def start(self) -> None:
        """Put a writer on each host that starts again with it."""
        for host in self.hosts:
            service = SERVICE.format(directory=DIRECTORY, mount=MOUNT_POINT, name=_name(host))
            self._demo.run(host, ["mkdir", "-p", DIRECTORY])
            self._put(host, f"{DIRECTORY}/writer.py", WRITER)
            self._put(host, f"/etc/systemd/system/{UNIT}", service)
            self._demo.run(host, ["systemctl", "enable", "--now", UNIT])

    def stop(self) -> None:
        """End all of them."""
        for host in self.hosts:
            self._demo.run(host, ["systemctl", "disable", "--now", UNIT], timeout=120)

    def notes(self, host: str) -> list[Note]:
        """What a host's writer has noted."""
        return parse(self._demo.run(host, ["cat", f"{DIRECTORY}/notes"]))

    def count(self, host: str) -> int:
        """How many records a host's writer had acknowledged; 0 while the host does not answer."""
        try:
            words = parse(self._demo.run(host, ["tail", "-n", "2", f"{DIRECTORY}/notes"], timeout=20))
        except LarvaError:
            return 0
        return words[-1].number + 1 if words else 0

    def wrong(self, reader: str) -> list[str]:
        """What a host reads that is not as it was acknowledged, or does not find; empty when all is there."""
        wanted = json.dumps({_name(host): self.count(host) for host in self.hosts})
        words = ["python3", "-c", READER, str(MOUNT_POINT), wanted]
        found: list[str] = json.loads(self._demo.run(reader, words, timeout=240))
        return found

    def words(self, host: str) -> str:
        """The last lines of a host's writer."""
        return self._demo.run(host, ["journalctl", "--unit", UNIT, "--lines", "5", "--output=cat", "--no-pager"])

    def _put(self, host: str, path: str, text: str) -> None:
        self._demo.lab.machine(host).run(["sh", "-c", f"cat >{shlex.quote(str(Path(path)))}"], input=text.encode())


def _name(host: str) -> str:
    return f"records-{host}"
