"""A monitor on this host: its data made once, from the first map or the running cluster's, then its unit started."""

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path

from cbstorage.ceph import cephx, conf
from cbstorage.ceph.answers import QuorumStatus
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local, preflight, systemd
from cbstorage.leading import monitor_moves
from cbstorage.model import DaemonKind, Founding
from larva import files, process
from larva.errors import Conflict, Unavailable

log = logging.getLogger(__name__)

MKFS_S = 120


def ensure(host: str, founding: Founding, identities: Mapping[str, cephx.Identity], *, is_new: bool) -> None:
    """Bring this host's monitor up.

    Args:
        identities: the keys of `mon.` and `client.admin`.
        is_new: the cluster runs already, so its present map counts and not the first one.

    Raises:
        Unavailable: no quorum gives a new monitor the present map, or it would be too early for one more.
    """
    directory = local.data_directory(DaemonKind.MON, host)
    unit = local.unit(DaemonKind.MON, host)
    if directory.exists() and is_new and not systemd.running(unit) and _was_removed(host):
        log.info("monitor %s was taken out of the map and is made anew", host)
        shutil.rmtree(directory)  # it would end itself for ever: Ceph lets none back in by itself
    if not directory.exists():
        _make(directory, host, founding, identities, is_new=is_new)
    systemd.start(unit)


def join(monitors: Monitors, quorum: QuorumStatus, host: str, address: IPv4Address) -> None:
    """Put this host's monitor into the map once it listens, if it is not in it; the others then connect to it.

    It asks to be let in by itself, but not always gets through. Monitors keep the connection to one that was removed.
    A new one at the same address counts its connections from one, and is turned away as somebody older until it has
    made more than its predecessor ever did (ProtocolV2::handle_existing_connection). To those in the map the others
    connect themselves, and begin anew.

    Raises:
        Unavailable: it does not listen yet, it would be too early for one more, or it was put into the map just now.
    """
    if host in {one.name for one in quorum.monmap.mons}:
        return
    if not preflight.reach(address, address).answers:
        raise Unavailable(f"monitor {host} does not listen yet")
    _check_join(host, quorum)
    with contextlib.suppress(Conflict):  # it was let in meanwhile
        monitors.run("mon add", name=host, addr=f"{address}:{conf.MON_PORT}")
        log.info("monitor %s is in the map", host)
    raise Unavailable(f"monitor {host} comes into the quorum")


def _make(
    directory: Path, host: str, founding: Founding, identities: Mapping[str, cephx.Identity], *, is_new: bool
) -> None:
    # On /run: keys lie in memory only, and are gone with this block.
    # No log file either: root would own it, and the monitor, which runs as ceph, could not write its own.
    with tempfile.TemporaryDirectory(prefix="larva-mon-", dir="/run") as scratch:
        monmap = Path(scratch) / "monmap"
        if host in {monitor.host for monitor in founding.monitors} and not is_new:
            _first_map(monmap, founding)
        else:
            _present_map(monmap, host)
        keyring = Path(scratch) / "keyring"
        files.write_whole(keyring, _keyring(identities), mode=files.SECRET)
        for left in directory.parent.glob(f".{directory.name}.*"):  # of a mkfs that was killed: there is a key in it
            shutil.rmtree(left)
        # A sibling that becomes the data directory in one rename: an interrupted mkfs is never taken for a monitor.
        with files.whole_directory(directory) as unfinished:
            process.run(
                [
                    "ceph-mon", "--mkfs", "--id", host, "--fsid", founding.fsid, "--monmap", monmap,
                    "--keyring", keyring, "--mon-data", unfinished, "--log-to-file=false",
                ],
                timeout=MKFS_S,
            )  # fmt: skip
            local.give_to_ceph(unfinished)
            unfinished.chmod(0o750)


def _keyring(identities: Mapping[str, cephx.Identity]) -> str:
    caps = {cephx.MON: cephx.MON_CAPS, cephx.ADMIN: cephx.ADMIN_CAPS}
    return cephx.keyring(
        *(cephx.Identity(entity=name, key=identities[name].key, caps=granted) for name, granted in caps.items())
    )


def _first_map(path: Path, founding: Founding) -> None:
    members = [
        word for monitor in founding.monitors for word in ("--addv", monitor.host, conf.address_vector(monitor.address))
    ]
    process.run(["monmaptool", "--create", "--clobber", "--fsid", founding.fsid, *members, path], timeout=30)


def _present_map(path: Path, host: str) -> None:
    try:
        with Monitors(local.CONFIGURATION, entity=cephx.ADMIN, keyring=local.keyring_of(cephx.ADMIN)) as monitors:
            _check_join(host, monitors.ask("quorum_status", QuorumStatus))
            path.write_bytes(monitors.run("mon getmap"))
    except Unavailable as error:
        raise Unavailable(f"a further monitor waits for the first ones: {error.message}", hint=error.hint) from error


def _was_removed(host: str) -> bool:
    """Whether the others have no such monitor in their map; False when nobody answers."""
    try:
        with Monitors(local.CONFIGURATION, entity=cephx.ADMIN, keyring=local.keyring_of(cephx.ADMIN)) as monitors:
            return host not in {one.name for one in monitors.ask("quorum_status", QuorumStatus).monmap.mons}
    except Unavailable:
        return False


def _check_join(host: str, quorum: QuorumStatus) -> None:
    names = [one.name for one in quorum.monmap.mons]
    if host not in names and not monitor_moves.may_join(in_map=names, quorum=quorum.quorum_names):
        raise Unavailable(
            f"one more monitor could cost the majority: {', '.join(quorum.quorum_names)} of {', '.join(names)} answer",
            hint="bring the others back, or place monitors without them: `larva storage place`",
        )
