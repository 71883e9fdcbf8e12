"""What there is to complain of mirrors: pure but for the reading."""

from collections.abc import Iterable
from datetime import UTC, datetime

from cbstorage import mirror_records, records
from cbstorage.leading import mirror_plan
from cbstorage.mirror_model import MirrorState, VolumeMirror
from cbstorage.model import Health, HealthCheck
from cladnet.etcd.store import Store

_NAMED = 5
"""Mirrors that the complaint names; the rest are counted."""


def read(store: Store, group: str) -> tuple[HealthCheck, ...]:
    """Return what there is to complain of a group's mirrors; those in the trash follow nothing."""
    mirrors = mirror_records.mirrors_of(store, group)
    if not mirrors:
        return ()
    states = mirror_records.mirror_states_of(store, group)
    names = {item.value.id: item.value.name for item in records.volumes(store, group).values()}
    found = (
        (names[volume_id], item.value, states[volume_id].value if volume_id in states else None)
        for volume_id, item in mirrors.items()
        if item.value is not None and volume_id in names
    )
    return of(((name, mirror, state or MirrorState(volume_id=mirror.volume_id)) for name, mirror, state in found))


def of(
    mirrors: Iterable[tuple[str, VolumeMirror, MirrorState]], now: datetime | None = None
) -> tuple[HealthCheck, ...]:
    """Return one complaint that names the mirrors that are late; none without any.

    It says since when and not for how long, so that it stays the same while nothing changes.
    """
    at = now or datetime.now(UTC)
    late = sorted(
        f"{name} ({_words(state)})" for name, mirror, state in mirrors if mirror_plan.is_late(mirror, state, at)
    )
    if not late:
        return ()
    more = f" and {len(late) - _NAMED} more" if len(late) > _NAMED else ""
    listed = ", ".join(late[:_NAMED])
    return (HealthCheck(code="MIRROR_LATE", health=Health.WARNING, summary=f"{listed}{more}"),)


def _words(state: MirrorState) -> str:
    since = f"whole as of {state.complete_at:%Y-%m-%d %H:%M} UTC" if state.complete_at else "nothing whole yet"
    return f"{since}: {state.problem}" if state.problem else since
