"""One host's update on a real etcd, of a cluster that is a directory: run as a program, so that it can be killed.

`down-HOST` is there while a daemon of that host is restarted, `upgraded-HOST` and `fresh-HOST` once that is done.
A restart writes down who else was down then, which must be nobody.
"""

import contextlib
import logging
import sys
import time
from pathlib import Path

from cbstorage.updating import update
from cbstorage.updating.order import Restarts
from cbstorage.updating.update import Due, Guard, Pace
from cladnet.etcd.store import Store
from larva.packages import Upgrade

PREFIX = "turns/"


def main(endpoint: str, directory: str, host: str, busy_s: str, ttl_s: str, sees: str) -> None:
    """Update `host` once; a step takes `busy_s` seconds, and what is down is seen, or not (`sees` is `nothing`)."""
    place = Path(directory)

    def look() -> Due:
        done = (place / f"upgraded-{host}").exists()
        fresh = (place / f"fresh-{host}").exists()
        return Due(
            upgrades=() if done else (Upgrade(name="libssl", old="1", new="2"),),
            restarts=Restarts(storage=("ceph-osd@0.service",) if done and not fresh else ()),
        )

    def upgrade() -> None:
        (place / f"upgrading-{host}").touch()
        time.sleep(float(busy_s))
        (place / f"upgraded-{host}").touch()
        with contextlib.suppress(FileNotFoundError):
            (place / f"upgrading-{host}").unlink()

    def restart(_unit: str) -> None:
        (place / f"down-{host}").touch()
        others = sorted(path.name for path in place.glob("down-*") if path.name != f"down-{host}")
        with (place / "restarts").open("a") as told:
            told.write(f"{host} {','.join(others)}\n")
        time.sleep(float(busy_s))
        (place / f"fresh-{host}").touch()
        (place / f"down-{host}").unlink()

    def lacks() -> str:
        if sees == "nothing":
            return ""
        return " ".join(sorted(path.name for path in place.glob("down-*")))

    with Store([endpoint], timeout=5) as store:
        guard = Guard(what="storage", prefix=PREFIX, store=store, lacks=lacks)
        pace = Pace(patience_s=120, settled_s=0.2, ttl_s=int(ttl_s), look_s=0.05)
        update.run([guard], host, pace=pace, look=look, upgrade=upgrade, restart=restart)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main(*sys.argv[1:])
