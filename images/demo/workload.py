"""A checked workload on one VM: numbered records appended and synced one by one, and the pauses between them."""

import contextlib
import hashlib
import json
import secrets
from dataclasses import dataclass

from images.demo.up import MOUNT_POINT, Demo
from larva.errors import LarvaError

# Appends records of 13 bytes until its stop file appears. A record counts once fsync has returned: acknowledged.
_WRITER = """
import json, os, sys, time
log, stop, result = sys.argv[1:]
count, longest, last = 0, 0.0, time.monotonic()
with open(log, "ab", buffering=0) as file:
    while not os.path.exists(stop):
        file.write(b"%012d\\n" % count)
        os.fsync(file.fileno())
        now = time.monotonic()
        count, longest, last = count + 1, max(longest, now - last), now
        with open(result, "w") as report:
            json.dump({"records": count, "longest_pause_s": round(longest, 2)}, report)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the writer saw acknowledged."""

    records: int
    longest_pause_s: float

    @property
    def content(self) -> bytes:
        """What every reader must find."""
        return b"".join(b"%012d\n" % number for number in range(self.records))

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the content."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Workload:
    """One run of the writer, as a transient unit on a host."""

    demo: Demo
    host: str
    name: str

    @classmethod
    def named(cls, demo: Demo, host: str) -> "Workload":
        """Return one that does not run yet, under a name of its own."""
        return cls(demo, host, f"proof-{secrets.token_hex(4)}")

    def start(self) -> None:
        """Start it, and return when its first record is acknowledged."""
        words = ["python3", "-c", _WRITER, self.log, self._stop_file, self._result_file]
        self.demo.run(self.host, ["systemd-run", "--quiet", "--collect", f"--unit={self.name}", *words])
        self.demo.wait_until("the writer writes", lambda: self.seen().records > 0, timeout_s=60)

    def remove(self) -> None:
        """End it, however far it came, and remove its files."""
        files = [self.log, self._stop_file, self._result_file]
        for words in (["systemctl", "kill", "--signal=KILL", self.name], ["rm", "-f", *files]):
            with contextlib.suppress(LarvaError):
                self.demo.run(self.host, words)

    @property
    def log(self) -> str:
        """The file on the volume, the same path on every host."""
        return f"{MOUNT_POINT}/{self.name}.log"

    def seen(self) -> Outcome:
        """What is acknowledged so far."""
        text = self.demo.run(self.host, ["sh", "-c", f"cat {self._result_file} 2>/dev/null || true"])
        try:
            return Outcome(**json.loads(text))
        except ValueError:  # not written yet, or half written: look again
            return Outcome(0, 0.0)

    def stop(self) -> Outcome:
        """End it, and return what it saw acknowledged."""
        self.demo.run(self.host, ["touch", self._stop_file])
        ended = ["sh", "-c", f"systemctl is-active --quiet {self.name} && echo running || echo ended"]
        self.demo.wait_until("the writer ends", lambda: "ended" in self.demo.run(self.host, ended), timeout_s=120)
        return self.seen()

    def read_by(self, host: str) -> str:
        """The digest of what a host reads; LarvaError while its mount does not answer."""
        return self.demo.run(host, ["timeout", "10", "sha256sum", self.log], timeout=15).split()[0]

    @property
    def _stop_file(self) -> str:
        return f"/run/{self.name}.stop"

    @property
    def _result_file(self) -> str:
        return f"/run/{self.name}.json"
