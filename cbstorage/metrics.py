"""What the storage agent tells Prometheus, read from etcd when it is asked: mounts on every host, the cluster on its
hosts, volumes on monitors' hosts, as far as each may read. No manager takes part."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from cbstorage import keys, mirror_records, records
from cbstorage.mirror_model import MirrorState
from cbstorage.model import ClusterSpecification, ClusterState, Health, MountPhase, MountState, VolumeState
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import Role
from larva.metrics import Family, Kind, Labels, labels

_STEPS = list(Health)


def collectors(store: Store, member: Member) -> tuple[Callable[[], Iterable[Family]], ...]:
    """Return what to ask each time; each by itself, so that one that fails hides no other."""
    found: list[Callable[[], Iterable[Family]]] = [lambda: _mounts(store, member)]
    if Role.STORAGE in member.roles:
        found += [
            lambda: _clusters(store, member), lambda: _volumes(store, member), lambda: _mirrors(store, member)
        ]  # fmt: skip
    return tuple(found)


def _mounts(store: Store, member: Member) -> tuple[Family, ...]:
    found = [
        (labels(cladnet=group, volume=name), state.value)
        for group in member.groups
        for name, state in store.children(keys.mount_states_on(group, member.host), MountState).items()
    ]
    return of_mounts(found)


def _clusters(store: Store, member: Member) -> tuple[Family, ...]:
    found = ((group, store.get(keys.cluster_state(group), ClusterState)) for group in member.groups)
    return of_clusters([(group, state.value) for group, state in found if state is not None])


def _volumes(store: Store, member: Member) -> tuple[Family, ...]:
    found: list[tuple[Labels, VolumeState, int]] = []
    for group in _as_monitor(store, member):
        mounted = [
            name
            for (_, name), report in records.mount_states_of(store, group).items()
            if report.value.phase is MountPhase.MOUNTED
        ]
        found += [
            (labels(cladnet=group, volume=name), state, mounted.count(name))
            for name, state in records.volume_states(store, group).items()
        ]
    return of_volumes(found)


def _mirrors(store: Store, member: Member) -> tuple[Family, ...]:
    found: list[tuple[Labels, MirrorState]] = []
    for group in _as_monitor(store, member):
        mirrors = mirror_records.mirrors_of(store, group)
        states = mirror_records.mirror_states_of(store, group) if mirrors else {}
        found += [
            (labels(cladnet=group, volume=name), states[item.value.id].value)
            for name, item in (records.volumes(store, group) if mirrors else {}).items()
            if item.value.id in mirrors and item.value.id in states
        ]
    return of_mirrors(found, datetime.now(UTC))


def _as_monitor(store: Store, member: Member) -> list[str]:
    """The CLADNets of which this host may read everything of volumes."""
    found = ((group, store.get(keys.cluster(group), ClusterSpecification)) for group in member.groups)
    return [group for group, wanted in found if wanted is not None and member.host in wanted.value.mon_hosts]


def of_mounts(found: Iterable[tuple[Labels, MountState]]) -> tuple[Family, ...]:
    """The mounts of this host, by CLADNet and volume."""
    samples = tuple((key, float(state.phase is MountPhase.MOUNTED)) for key, state in found)
    return (Family("larva_mounted", Kind.GAUGE, "1 while a volume that this host should have is mounted.", samples),)


def of_clusters(found: Iterable[tuple[str, ClusterState]]) -> tuple[Family, ...]:
    """The storage clusters, by CLADNet, as their leading hosts saw them last."""
    seen = tuple(found)

    def gauge(name: str, text: str, value: Callable[[ClusterState], float | None]) -> Family:
        samples = ((labels(cladnet=group), value(state)) for group, state in seen)
        return Family(name, Kind.GAUGE, text, tuple((key, number) for key, number in samples if number is not None))

    checks = tuple((labels(cladnet=group, code=check.code), 1.0) for group, state in seen for check in state.checks)
    return (
        gauge("larva_storage_health", "0 healthy, 1 with warnings, 2 in trouble.", lambda it: _STEPS.index(it.health)),
        Family("larva_storage_complaint", Kind.GAUGE, "1 for each complaint there is, by its code.", checks),
        gauge(
            "larva_storage_seen_timestamp_seconds", "When that was seen, since the epoch.",
            lambda it: it.observed_at.timestamp(),
        ),
        gauge("larva_storage_size_bytes", "Of all OSDs: each copy counts.", lambda it: it.total_bytes),
        gauge("larva_storage_used_bytes", "Of these.", lambda it: it.used_bytes),
        gauge("larva_storage_monitors", "Monitors there should be.", lambda it: len(it.monitors)),
        gauge("larva_storage_monitors_in_quorum", "Of these.", lambda it: len(it.quorum)),
        gauge("larva_storage_osds", "OSDs there are.", lambda it: len(it.osds)),
        gauge("larva_storage_osds_up", "Of these, up and in.", lambda it: sum(osd.up and osd.is_in for osd in it.osds)),
        gauge(
            "larva_storage_read_bytes_per_second", "By clients.",
            lambda it: it.rates.read_bytes_s if it.rates else None,
        ),
        gauge(
            "larva_storage_written_bytes_per_second", "By clients.",
            lambda it: it.rates.written_bytes_s if it.rates else None,
        ),
        gauge("larva_storage_reads_per_second", "By clients.", lambda it: it.rates.reads_s if it.rates else None),
        gauge("larva_storage_writes_per_second", "By clients.", lambda it: it.rates.writes_s if it.rates else None),
        gauge(
            "larva_storage_recovered_bytes_per_second", "Copies that are put in place.",
            lambda it: it.rates.recovered_bytes_s if it.rates else None,
        ),
    )  # fmt: skip


def of_volumes(found: Iterable[tuple[Labels, VolumeState, int]]) -> tuple[Family, ...]:
    """The volumes, by CLADNet and name, with the number of hosts that have them mounted."""
    seen = tuple(found)
    return (
        Family(
            "larva_volume_used_bytes", Kind.GAUGE, "What is in a volume.",
            tuple((key, float(state.used_bytes)) for key, state, _ in seen),
        ),
        Family(
            "larva_volume_quota_bytes", Kind.GAUGE, "What may be.",
            tuple((key, float(state.size_bytes)) for key, state, _ in seen),
        ),
        Family(
            "larva_volume_mounts", Kind.GAUGE, "Hosts that have it mounted.",
            tuple((key, float(mounts)) for key, _, mounts in seen),
        ),
    )  # fmt: skip


def of_mirrors(found: Iterable[tuple[Labels, MirrorState]], now: datetime) -> tuple[Family, ...]:
    """The volumes that follow others, by CLADNet and name."""
    seen = tuple(found)
    return (
        Family(
            "larva_volume_mirror_lag_seconds", Kind.GAUGE, "Since the last state of its source that is whole.",
            tuple(
                (key, max(0.0, (now - state.complete_at).total_seconds()))
                for key, state in seen
                if state.complete_at is not None
            ),
        ),
        Family(
            "larva_volume_mirror_copying", Kind.GAUGE, "1 while a mirror is brought another state.",
            tuple((key, float(state.copying is not None)) for key, state in seen),
        ),
    )  # fmt: skip
