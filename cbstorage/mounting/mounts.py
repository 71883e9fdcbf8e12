"""The reconciler of mounts, on every host: what is wanted is mounted and kept mounted, the rest is taken away."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from time import monotonic

from cbstorage import keys, records, view
from cbstorage.ceph import cephx, conf, sealed_keys
from cbstorage.host import local, systemd
from cbstorage.model import MountPhase, MountSpecification, MountState, SealedKeys
from cbstorage.mounting import clients, mount_point, renewal
from cbstorage.mounting.clients import Mount
from cbstorage.mounting.mount_probe import Answer, MountProbe
from cbstorage.rotation_model import KeyRotation
from cladnet.etcd.store import Store
from cladnet.keys import child, is_segment
from cladnet.member import Identity
from larva import codec, files
from larva.errors import InvalidInput, LarvaError, MalformedData, Unavailable

log = logging.getLogger(__name__)

CHECK_S = 5.0
"""Between two questions to the mounts."""
UNIT_PREFIX = "larva-mount-"
"""How the units begin by which ceph-fuse serves volumes."""
GIVE_UP_S = 120.0
"""A volume that does not answer for so long is taken away, so that nothing on this host waits for it for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What this host needs to keep one mount without etcd; on disk, beside its keyring."""

    specification: MountSpecification
    fsid: str
    entity: str
    source: str
    monitors: tuple[IPv4Address, ...]
    location: str = ""
    """Where this host is in the CRUSH map; empty where nobody knows."""


class MountKeeper:
    """The mounts of one CLADNet on one host."""

    def __init__(self, store: Store, group: str, host: str, *, clock: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._clock = clock
        self._group = group
        self._host = host
        self._probe = MountProbe()
        self._silent_since: dict[str, float] = {}
        """By volume, on that clock."""
        self._rotations: Sequence[KeyRotation] = ()
        self._ended: set[str] = set()
        """Volumes of which an earlier key is good no more, and was not to be waited for."""
        self._in_use: set[str] = set()
        """Volumes that should be mounted anew for their key, and that somebody uses."""

    def prefixes(self) -> list[str]:
        """What wakes the reconciler."""
        return [
            keys.mounts_on(self._group, self._host), keys.mounts_everywhere_of(self._group),
            keys.mount_keys_on(self._group, self._host), keys.volume_shares_of(self._group),
            keys.mirrors_of(self._group),
            keys.key_rotations_of(self._group),
        ]  # fmt: skip

    def reconcile(self) -> float:
        """Bring this host's mounts nearer to what is wanted and report; return when to look again."""
        try:
            seen = view.read(self._store, self._group)
            wanted = records.wanted_on(self._store, self._group, self._host) if seen is not None else {}
            reports = self._reports()
        except Unavailable:
            # etcd is away: what was mounted before is kept, or mounted again after a reboot.
            for name, known in self._remembered().items():
                with _apart(name):
                    self._keep(known)
            raise
        with _apart("all"):  # what cannot be read of keys keeps nothing from being mounted
            self._rotations = records.key_rotations(self._store, self._group)
        remembered = self._remembered()
        for name in (remembered.keys() | reports) - wanted.keys():
            with _apart(name):
                self._drop(name, remembered.get(name))
        refusals = _refusals(wanted)
        for name, specification in wanted.items():
            old = remembered.get(name)
            with _apart(name):
                if old is not None and (name in refusals or _moved(old.specification, specification)):
                    self._drop(name, old)
                if name in refusals:
                    self._report(specification, MountPhase.FAILED, problem=refusals[name])
                elif seen is not None:
                    self._bring(seen, specification)
        return CHECK_S

    def release(self) -> None:
        """Take every volume of this CLADNet away, because this host has left it."""
        for name, known in self._remembered().items():
            with _apart(name):
                self._drop(name, known)
        with contextlib.suppress(OSError):  # one of them could not be taken away: it is tried again
            local.private_directory("mount", self._group).rmdir()

    def _reports(self) -> set[str]:
        """The volumes that this host has said something of."""
        prefix = keys.mount_states_on(self._group, self._host)
        return {name for key in self._store.revisions(prefix) if (name := child(prefix, key)) is not None}

    def _bring(self, seen: view.View, specification: MountSpecification) -> None:
        name = specification.volume
        try:
            key = self._store.get(keys.mount_key(self._group, self._host, name), SealedKeys)
            volume = records.volume(self._store, self._group, name)
            if key is None or volume is None or volume.value.id != specification.volume_id:
                waiting = "waits for the storage hosts to hand out its key"
                self._report(specification, MountPhase.PENDING, problem=waiting)
                return
            opened = sealed_keys.open_newest(Identity.load().seal_private, key.value)
            entity = volume.value.entity(self._host, read_only=specification.read_only)
            if entity not in opened:
                waiting = "waits for the storage hosts to hand out another key: what it has is no key of this mount"
                self._report(specification, MountPhase.PENDING, problem=waiting)
                return
            known = Known(
                specification=specification,
                fsid=seen.specification.fsid,
                entity=entity,
                source=volume.value.path,
                monitors=tuple(monitor.address for monitor in seen.monitors()),
                location=stands.location() if (stands := seen.known_place(self._host)) else "",
            )
            self._remember(known, opened[entity], seen)
            ended = not key.value.next and renewal.at_once(self._rotations, self._host, name)
            (self._ended.add if ended else self._ended.discard)(name)
        except Unavailable:
            raise
        except (LarvaError, OSError) as error:
            self._report(specification, MountPhase.FAILED, problem=_words(error))
            return
        phase, client, problem = self._keep(known)
        self._report(specification, phase, client=client, problem=problem)

    def _keep(self, known: Known) -> tuple[MountPhase, str, str]:
        """Mount if it is not, mount again if it died; return how it stands."""
        specification = known.specification
        path = Path(specification.path)
        unit = self._unit(specification.volume)
        mounted = clients.mounted_at(path)
        if mounted is not None:
            if not mounted.is_volume:
                words = f"something else ({mounted.kind}) is mounted at {path}: choose another path"
                return MountPhase.FAILED, "", words
            ours = clients.is_ours(mounted, unit=unit, source=known.source)
            if ours and specification.volume in self._ended and renewal.is_stale(self._directory(specification.volume)):
                answer, words = Answer.DEAD, "its key is good no more"  # it may not notice that it was shut out
            else:
                answer, words = self._probe.ask(path)
            if answer is not Answer.DEAD and not ours:
                return MountPhase.FAILED, "", f"another volume is mounted at {path}: choose another path"
            if answer is Answer.ALIVE:
                self._silent_since.pop(specification.volume, None)
                if not self._let_go(specification):
                    return MountPhase.MOUNTED, mounted.client, ""
            else:
                if answer is Answer.SILENT:
                    since = self._silent_since.setdefault(specification.volume, self._clock())
                    if self._clock() - since < GIVE_UP_S:
                        words = f"{path} does not answer ({words}): is the cluster up?"
                        return MountPhase.FAILED, mounted.client, words
                    words = f"no answer within {GIVE_UP_S:g} s: whoever waits for it gets an error"
                self._silent_since.pop(specification.volume, None)
                log.warning("volume %s at %s died (%s); mounting it again", specification.volume, path, words)
                clients.unmount(unit, path, source=known.source, dead=True)
                clients.take_away(path, dead=True)  # a dead one serves nobody, whoever mounted it
        try:
            mount_point.prepare(path)
            client = self._mount(known)
        except (LarvaError, OSError) as error:
            log.warning("volume %s at %s: %s", specification.volume, path, _words(error))
            return MountPhase.FAILED, "", _words(error)
        log.info("mounted volume %s at %s with %s", specification.volume, path, client)
        return MountPhase.MOUNTED, client, ""

    def _let_go(self, specification: MountSpecification) -> bool:
        """Unmount a volume for its new key, where that was asked for and nobody notices."""
        directory = self._directory(specification.volume)
        self._in_use.discard(specification.volume)
        if not renewal.wanted(self._rotations, self._host, specification.volume) or not renewal.is_stale(directory):
            return False
        if renewal.let_go(self._unit(specification.volume), Path(specification.path)):
            return True
        self._in_use.add(specification.volume)
        return False

    def _mount(self, known: Known) -> str:
        directory = self._directory(known.specification.volume)
        keyring = directory / "keyring"
        renewal.note_use(directory)
        return clients.mount(
            Mount(
                unit=self._unit(known.specification.volume),
                identity=cephx.Identity(entity=known.entity, key=cephx.key_in(keyring.read_text())),
                fsid=known.fsid,
                monitors=known.monitors,
                source=known.source,
                path=Path(known.specification.path),
                configuration=directory / "ceph.conf",
                keyring=keyring,
                read_only=known.specification.read_only,
                location=known.location,
            )
        )

    def _drop(self, name: str, known: Known | None) -> None:
        is_silent = self._silent_since.pop(name, None) is not None
        if known is not None:
            path = Path(known.specification.path)
            clients.unmount(self._unit(name), path, source=known.source, dead=is_silent)
            log.info("took volume %s away from %s", name, known.specification.path)
        else:
            systemd.stop(self._unit(name))  # in case the record of it was lost
        self._forget(name)
        self._store.delete(keys.mount_state(self._group, self._host, name))

    def _report(
        self, specification: MountSpecification, phase: MountPhase, *, client: str = "", problem: str = ""
    ) -> None:
        directory = local.private_directory("mount", self._group) / specification.volume
        report = MountState(
            volume=specification.volume,
            volume_id=specification.volume_id,
            host=self._host,
            path=specification.path,
            phase=phase,
            client=client,
            key=renewal.held(directory),
            used=renewal.used(directory) if phase is MountPhase.MOUNTED else "",
            in_use=phase is MountPhase.MOUNTED and specification.volume in self._in_use,
            problem=problem,
        )
        key = keys.mount_state(self._group, self._host, specification.volume)
        records.tell(self._store, key, report)

    def _unit(self, volume: str) -> str:
        # An underscore is in no name: no two CLADNets and volumes share a unit.
        return f"{UNIT_PREFIX}{self._group}_{volume}.service"

    def _directory(self, volume: str) -> Path:
        return local.private_directory("mount", self._group, volume)

    def _remember(self, known: Known, identity: cephx.Identity, seen: view.View) -> None:
        directory = self._directory(known.specification.volume)
        files.write_if_changed(directory / "keyring", cephx.keyring(identity), mode=files.SECRET)
        files.write_if_changed(
            directory / "ceph.conf", conf.render_client(seen.cluster(), seen.known_place(self._host))
        )
        files.write_if_changed(directory / "mount.json", codec.encode(known))

    def _remembered(self) -> dict[str, Known]:
        found = {}
        for path in sorted(local.private_directory("mount", self._group).glob("*/mount.json")):
            try:
                found[path.parent.name] = codec.decode(path.read_bytes(), Known, source=str(path))
            except MalformedData as error:  # as good as lost: it is written again if it is wanted
                log.warning("left out: %s", error)
        return found

    def _forget(self, volume: str) -> None:
        directory = local.private_directory("mount", self._group) / volume
        if directory.exists():
            # The record goes first: a directory without it is no mount.
            for name in ("mount.json", "keyring", "keyring.secret", "used", "ceph.conf"):
                (directory / name).unlink(missing_ok=True)
            directory.rmdir()


def remembered_groups() -> set[str]:
    """The CLADNets of which this host has volumes mounted, by what it wrote down."""
    return {path.name for path in local.private_directory("mount").iterdir() if is_segment(path.name)}


def _moved(old: MountSpecification, new: MountSpecification) -> bool:
    return (old.path, old.volume_id, old.read_only) != (new.path, new.volume_id, new.read_only)


def _refusals(wanted: Mapping[str, MountSpecification]) -> dict[str, str]:
    """Why wishes cannot be granted, by volume; of two that collide the first by name stands."""
    refused: dict[str, str] = {}
    for name, wish in sorted(wanted.items()):
        try:
            if mount_point.check(wish.path) != wish.path:
                refused[name] = f"mount path {wish.path!r} is not plain"
        except InvalidInput as error:
            refused[name] = error.message
        for other in sorted(wanted.keys() - refused.keys()):
            if other < name and mount_point.collide(wanted[other].path, wish.path):
                refused[name] = f"volume {other} is wanted at {wanted[other].path}"
    return refused


@contextlib.contextmanager
def _apart(name: str) -> Iterator[None]:
    """Keep one volume's trouble from the others; etcd's absence concerns them all."""
    try:
        yield
    except Unavailable:
        raise
    except (LarvaError, OSError) as error:
        log.warning("volume %s: %s", name, _words(error))


def _words(error: LarvaError | OSError) -> str:
    if isinstance(error, LarvaError):
        return error.message
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
