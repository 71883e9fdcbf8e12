"""The reconciler of a storage host: which Ceph daemons it should run, and the next step towards that."""

import logging
from collections.abc import Callable
from pathlib import Path

from cbstorage import keys, records, view
from cbstorage.ceph import cephx, conf, sealed_keys
from cbstorage.ceph.answers import QuorumStatus
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import claim, founding, local, mon, osd, osds, preflight, retirement, services, systemd, tcp
from cbstorage.host.key_files import KeyFiles
from cbstorage.host.problems import Problems
from cbstorage.leading import leader, monitor_moves
from cbstorage.leading.rates import RateKeeper
from cbstorage.model import Daemon, DaemonKind, DeviceProblem, HostDaemons, SealedKeys
from cbstorage.view import View
from cladnet.etcd.store import Store
from cladnet.member import Identity
from larva.errors import LarvaError, MalformedData, Unavailable

log = logging.getLogger(__name__)

SETTLED_S = 10.0
"""Between two looks when nothing changed in etcd: Ceph itself may have changed."""
UNSETTLED_S = 1.5


class StorageHost:
    """One storage host of one CLADNet.

    Args:
        devices: block devices or files for OSDs.
        encrypt: whether new OSDs on those are to be encrypted.
    """

    def __init__(
        self, store: Store, group: str, host: str, devices: tuple[Path, ...], *, encrypt: bool = False
    ) -> None:
        self._store = store
        self._group = group
        self._host = host
        self._devices = devices
        self._encrypt = encrypt
        self._last_problem = ""
        self._device_problems: tuple[DeviceProblem, ...] = ()
        self._unsettled = 0
        self._rates = RateKeeper()
        self._key_files = KeyFiles(host)

    def prefixes(self) -> list[str]:
        """What wakes the reconciler."""
        return [
            *view.prefixes(self._group), keys.keyring(self._group, self._host), keys.osd_wishes_of(self._group),
            keys.osd_progress_of(self._group), keys.osd_devices_on(self._group, self._host),
            keys.key_rotations_of(self._group),
        ]  # fmt: skip

    def reconcile(self) -> float:
        """Bring this host's daemons nearer to the specification and report; return when to look again."""
        problems = Problems()
        seen: View | None = None
        try:
            seen = view.read(self._store, self._group)
            if seen is None:
                return SETTLED_S
            with problems.kept():
                claim.stake(self._group, seen.specification.fsid)
                self._step(seen, problems)
        except Unavailable:
            # etcd is away: what was made already must run all the same, above all after a reboot.
            self._start_prepared()
            raise
        self._report(seen, problems.text())
        self._unsettled = self._unsettled + 1 if problems.found else 0
        return min(SETTLED_S, UNSETTLED_S * 1.2 ** min(self._unsettled, 20)) if self._unsettled else SETTLED_S

    def _step(self, seen: View, problems: Problems) -> None:
        address = seen.address(self._host)
        if address is None:
            raise Unavailable("this host has no address in the CLADNet yet", hint="`larva net hosts` says why")
        if problem := preflight.check(preflight.links(), address=address, cidr=seen.specification.cidr):
            raise Unavailable(problem.found, hint=problem.remedy)
        tcp.tune()
        identities, following = self._identities(seen)
        local.write_configuration(conf.render(seen.cluster(), conf.Host(address=address, place=seen.place(self._host))))
        entity = self._write_client(identities, following)
        with problems.kept():
            self._key_files.write_daemons(identities, following)
        if self._host in seen.specification.mon_hosts and seen.founding is not None:
            with problems.kept():
                if not identities.keys() >= {cephx.MON, cephx.ADMIN}:
                    raise Unavailable("this host has not been given a monitor's keys yet")
                mon.ensure(self._host, seen.founding, identities, is_new=not self._is_founding(seen))
        try:
            connection = self._key_files.connect(identities, following, entity)
        except Unavailable as error:
            self._start_osds(None, seen, problems)
            raise Unavailable(f"{error.message}: {self._reaches(seen)}", hint=error.hint) from error
        with connection as monitors:
            self._with_quorum(monitors, seen, problems, identities)
        with problems.kept():
            wishes = records.key_rotations(self._store, self._group)
            self._key_files.restart(identities, following, wishes)

    def _with_quorum(
        self, monitors: Monitors, seen: View, problems: Problems, identities: dict[str, cephx.Identity]
    ) -> None:
        specification = seen.specification
        self._start_osds(monitors, seen, problems)
        with problems.kept():
            retirement.tend(monitors, specification, self._host)
        if self._host in specification.mds_hosts:
            with problems.kept():
                services.ensure_metadata_server(monitors, self._host)
        if self._host in specification.mgr_hosts:
            with problems.kept():
                services.ensure_manager(monitors, self._host)
        if self._host in specification.mon_hosts:
            quorum = monitors.ask("quorum_status", QuorumStatus)
            if (address := seen.address(self._host)) is not None:
                mon.join(monitors, quorum, self._host, address)
            if monitor_moves.leads(
                self._host, leader=quorum.quorum_leader_name, quorum=quorum.quorum_names, wanted=specification.mon_hosts
            ):
                with problems.kept():
                    leader.lead(self._store, monitors, seen, quorum, identities, rates=self._rates)

    def _is_founding(self, seen: View) -> bool:
        """Whether the cluster is still being founded: nobody has ever seen it."""
        return seen.founding is not None and not self._store.exists(keys.cluster_state(self._group))

    def _identities(self, seen: View) -> tuple[dict[str, cephx.Identity], dict[str, cephx.Identity]]:
        """The keys sealed to this host, and those that follow them.

        The first monitors' hosts try to found the cluster when there are none.
        """
        key = keys.keyring(self._group, self._host)
        sealed = self._store.get(key, SealedKeys)
        is_monitor = self._host in seen.specification.mon_hosts
        if seen.founding is None and is_monitor:
            founding.found(self._store, seen, self._host)
            raise Unavailable("the cluster is being founded")
        if sealed is None:
            raise Unavailable(
                "the monitors' hosts have not given this host its keys yet",
                hint=f"monitors run on {', '.join(seen.specification.mon_hosts)}; see `larva storage status`",
            )
        private = Identity.load().seal_private
        return sealed_keys.open_keys(private, sealed.value), sealed_keys.open_next(private, sealed.value)

    def _write_client(self, identities: dict[str, cephx.Identity], following: dict[str, cephx.Identity]) -> str:
        entity = cephx.ADMIN if cephx.ADMIN in identities else cephx.storage_host(self._host)
        if entity not in identities:
            raise MalformedData(f"this host was given no key of {entity}", hint="the monitors' hosts give it anew")
        self._key_files.write_client(identities, following, entity)
        return entity

    def _start_osds(self, monitors: Monitors | None, seen: View, problems: Problems) -> None:
        wanted = osds.read(self._store, self._group, self._host, self._devices, encrypt=self._encrypt)
        self._device_problems = osds.tend(monitors, wanted, seen.specification, problems)

    def _reaches(self, seen: View) -> str:
        own = seen.address(self._host)
        if own is None:
            return "no address"
        return "; ".join(
            f"{one.host} ({one.address}) {preflight.reach(own, one.address).words}"
            for one in seen.monitors()
            if one.host != self._host
        )

    def _start_prepared(self) -> None:
        """Start every daemon whose data is here, if this host still has the address that ceph.conf names."""
        for daemon in self._daemons():
            if not daemon.running and _address_is_here():
                log.info("etcd is away; starting %s.%s from what is on disk", daemon.kind, daemon.id)
                _log_failure(lambda one=daemon: _start(one))  # type: ignore[misc]

    def _daemons(self, fsid: str = "") -> tuple[Daemon, ...]:
        known = osd.records(fsid) if fsid else {}
        found = {str(one.osd_id): one for one in known.values() if one.osd_id is not None and not one.retired}
        return tuple(
            Daemon(
                kind=kind, id=name, running=systemd.running(local.unit(kind, name)),
                device=str(found[name].device) if kind is DaemonKind.OSD and name in found else "",
                uuid=found[name].uuid if kind is DaemonKind.OSD and name in found else "",
                encrypted=kind is DaemonKind.OSD and name in found and found[name].encrypted,
            )
            for kind in DaemonKind
            for name in local.prepared(kind)
        )  # fmt: skip

    def _report(self, seen: View, problem: str) -> None:
        if problem != self._last_problem:
            self._last_problem = problem
            log.log(logging.WARNING if problem else logging.INFO, "%s", problem or "storage is as it should be")
        report = HostDaemons(
            host=self._host,
            address=seen.address(self._host),
            daemons=self._daemons(seen.specification.fsid),
            devices=self._device_problems,
            keys=self._key_files.held(),
            problem=problem,
        )
        key = keys.daemons(self._group, self._host)
        records.tell(self._store, key, report)


def _start(daemon: Daemon) -> None:
    served = claim.current()
    if served is not None and daemon.kind is DaemonKind.OSD:
        for record in osd.records(served.fsid).values():
            if record.encrypted and not record.retired and str(record.osd_id) == daemon.id:
                osd.start(record, served.fsid)
                return
    systemd.start(local.unit(daemon.kind, daemon.id))


def _address_is_here() -> bool:
    wanted = (
        next(
            (
                line.split("=", 1)[1].strip()
                for line in local.CONFIGURATION.read_text().splitlines()
                if line.startswith("public_addr =")
            ),
            None,
        )
        if local.CONFIGURATION.exists()
        else None
    )
    return wanted is not None and any(str(one.ip) == wanted for link in preflight.links() for one in link.addresses)


def _log_failure(action: Callable[[], object]) -> None:
    try:
        action()
    except LarvaError as error:
        log.warning("%s", error.message)
