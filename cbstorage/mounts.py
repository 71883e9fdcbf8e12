"""The reconciler of mounts, on every host: what is wanted is mounted and kept mounted, the rest is taken away."""

import logging
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cbstorage import cephx, clients, conf, keys, local, sealed_keys, view
from cbstorage.clients import CLIENTS, Mount
from cbstorage.model import MountPhase, MountSpecification, MountState, SealedKeys, VolumeSpecification
from cbstorage.mount_probe import Answer, MountProbe
from cladnet.keys import last_segment
from cladnet.member import Identity
from cladnet.store import Store
from larva import codec, files
from larva.errors import Conflict, HostUnfit, LarvaError, Unavailable

log = logging.getLogger(__name__)

CHECK_S = 5.0
"""Between two questions to the mounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What this host needs to keep one mount without etcd; on disk, beside its keyring."""

    specification: MountSpecification
    fsid: str
    entity: str
    source: str
    monitors: tuple[IPv4Address, ...]


class MountKeeper:
    """The mounts of one CLADNet on one host."""

    def __init__(self, store: Store, group: str, host: str) -> None:
        self._store = store
        self._group = group
        self._host = host
        self._probe = MountProbe()

    def prefixes(self) -> list[str]:
        """What wakes the reconciler."""
        return [keys.mounts_on(self._group, self._host), keys.mount_keys_on(self._group, self._host)]

    def reconcile(self) -> float:
        """Bring this host's mounts nearer to what is wanted and report; return when to look again."""
        try:
            seen = view.read(self._store, self._group)
            wanted = self._wanted() if seen is not None else {}
            reports = self._reports()
        except Unavailable:
            # etcd is away: what was mounted before is kept, or mounted again after a reboot.
            for known in self._remembered().values():
                self._keep(known)
            raise
        remembered = self._remembered()
        for name in (remembered.keys() | reports.keys()) - wanted.keys():
            self._drop(name, remembered.get(name), reports.get(name))
        for name, specification in wanted.items():
            old = remembered.get(name)
            if old is not None and _moved(old.specification, specification):
                self._drop(name, old, reports.get(name))
            if seen is not None:
                self._bring(seen, specification)
        return CHECK_S

    def _wanted(self) -> dict[str, MountSpecification]:
        found = self._store.list(keys.mounts_on(self._group, self._host), MountSpecification)
        return {item.value.volume: item.value for item in found.items}

    def _reports(self) -> dict[str, MountState]:
        found = self._store.list(keys.mount_states_on(self._group, self._host), MountState)
        return {last_segment(item.key): item.value for item in found.items}

    def _bring(self, seen: view.View, specification: MountSpecification) -> None:
        name = specification.volume
        key = self._store.get(keys.mount_key(self._group, self._host, name), SealedKeys)
        volume = self._store.get(keys.volume(self._group, name), VolumeSpecification)
        if key is None or volume is None or volume.value.id != specification.volume_id:
            self._report(specification, MountPhase.PENDING, problem="waits for the storage hosts to hand out its key")
            return
        try:
            opened = sealed_keys.open_keys(Identity.load().seal_private, key.value)
            identity = next(iter(opened.values()))
            known = Known(
                specification=specification,
                fsid=seen.specification.fsid,
                entity=identity.entity,
                source=volume.value.path,
                monitors=tuple(monitor.address for monitor in seen.monitors()),
            )
            self._remember(known, identity, seen)
        except LarvaError as error:
            self._report(specification, MountPhase.FAILED, problem=error.message)
            return
        phase, client, problem = self._keep(known)
        self._report(specification, phase, client=client, problem=problem)

    def _keep(self, known: Known) -> tuple[MountPhase, str, str]:
        """Mount if it is not, mount again if it died; return how it stands."""
        specification = known.specification
        path = Path(specification.path)
        kind = clients.is_mounted(path)
        if kind is not None and not _is_volume(kind):
            return MountPhase.FAILED, "", f"something else ({kind}) is mounted at {path}: choose another path"
        if kind is not None:
            answer, words = self._probe.ask(path)
            if answer is Answer.ALIVE:
                return MountPhase.MOUNTED, _client_name(kind), ""
            if answer is Answer.SILENT:
                return MountPhase.FAILED, _client_name(kind), f"{path} does not answer ({words}): is the cluster up?"
            log.warning("volume %s at %s died (%s); mounting it again", specification.volume, path, words)
            clients.unmount(self._unit(specification.volume), path)
        try:
            _prepare(path)
            client = self._mount(known)
        except (LarvaError, OSError) as error:
            words = error.message if isinstance(error, LarvaError) else f"{path}: {error.strerror}"
            log.warning("volume %s: %s", specification.volume, words)
            return MountPhase.FAILED, "", words
        log.info("mounted volume %s at %s with %s", specification.volume, path, client)
        return MountPhase.MOUNTED, client, ""

    def _mount(self, known: Known) -> str:
        directory = self._directory(known.specification.volume)
        keyring = directory / "keyring"
        key = next(line.split("=", 1)[1].strip() for line in keyring.read_text().splitlines() if "key =" in line)
        mount = Mount(
            unit=self._unit(known.specification.volume),
            identity=cephx.Identity(entity=known.entity, key=key),
            fsid=known.fsid,
            monitors=known.monitors,
            source=known.source,
            path=Path(known.specification.path),
            configuration=directory / "ceph.conf",
            keyring=keyring,
        )
        usable = [client for client in CLIENTS if client.available()]
        if not usable:
            raise HostUnfit("this host can mount no volume", hint="ceph-fuse and /dev/fuse are missing")
        for client in usable[:-1]:
            try:
                client.mount(mount)
            except LarvaError as error:
                log.warning("%s could not mount, trying the next client: %s", client.name, error.message)
            else:
                return client.name
        usable[-1].mount(mount)
        return usable[-1].name

    def _drop(self, name: str, known: Known | None, report: MountState | None) -> None:
        path = known.specification.path if known else report.path if report else None
        if path is not None and known is not None:
            clients.unmount(self._unit(name), Path(path))
            log.info("took volume %s away from %s", name, path)
        self._forget(name)
        self._store.delete(keys.mount_state(self._group, self._host, name))

    def _report(
        self, specification: MountSpecification, phase: MountPhase, *, client: str = "", problem: str = ""
    ) -> None:
        report = MountState(
            volume=specification.volume,
            volume_id=specification.volume_id,
            host=self._host,
            path=specification.path,
            phase=phase,
            client=client,
            problem=problem,
        )
        key = keys.mount_state(self._group, self._host, specification.volume)
        current = self._store.get(key, MountState)
        if current is None or current.value != report:
            self._store.put(key, report)

    def _unit(self, volume: str) -> str:
        return f"larva-mount-{self._group}-{volume}.service"

    def _directory(self, volume: str) -> Path:
        return local.private_directory("mount", self._group, volume)

    def _remember(self, known: Known, identity: cephx.Identity, seen: view.View) -> None:
        directory = self._directory(known.specification.volume)
        files.write_if_changed(directory / "keyring", cephx.keyring(identity), mode=files.SECRET)
        files.write_if_changed(directory / "ceph.conf", conf.render_client(seen.cluster()))
        files.write_if_changed(directory / "mount.json", codec.encode(known))

    def _remembered(self) -> dict[str, Known]:
        found = {}
        for path in sorted(local.private_directory("mount", self._group).glob("*/mount.json")):
            found[path.parent.name] = codec.decode(path.read_bytes(), Known, source=str(path))
        return found

    def _forget(self, volume: str) -> None:
        directory = local.private_directory("mount", self._group) / volume
        if directory.exists():
            # The record goes first: a directory without it is no mount.
            for name in ("mount.json", "keyring", "keyring.secret", "ceph.conf"):
                (directory / name).unlink(missing_ok=True)
            directory.rmdir()


def _moved(old: MountSpecification, new: MountSpecification) -> bool:
    return (old.path, old.volume_id) != (new.path, new.volume_id)


def _is_volume(kind: str) -> bool:
    return kind == "ceph" or kind.startswith("fuse.ceph")


def _client_name(kind: str) -> str:
    return "kernel" if kind == "ceph" else "ceph-fuse"


def _prepare(path: Path) -> None:
    """Make the mount point, or refuse one that would hide something."""
    if path.is_symlink():
        raise HostUnfit(f"{path} is a symbolic link", hint="mount at the directory itself")
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise Conflict(f"{path} is not empty", hint="choose another path, or empty it")
