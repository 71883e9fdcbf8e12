"""Single OSDs as desired state in etcd: what should become of them, and how far that is."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cbstorage import keys, records
from cbstorage.model import Daemon, DaemonKind, OsdState
from cbstorage.osd_model import OsdAddition, OsdGoal, OsdPhase, OsdProgress, OsdWish, digest
from cbstorage.wanted import cluster, osd_additions
from cbstorage.wanted.cluster import ClusterView
from cladnet.etcd.store import Put, Store
from larva.errors import Conflict, InvalidInput, NotFound, Refused, TimedOut

POLL_S = 0.5
ENOUGH = {OsdGoal.DRAINED: (OsdPhase.DRAINED,), OsdGoal.REMOVED: (OsdPhase.GONE,), OsdGoal.REPLACED: ()}
"""Phases in which a wish is fulfilled as far as the cluster goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdView:
    """One OSD as it is, and what somebody wants of it."""

    id: int
    host: str
    device: str
    encrypted: bool | None
    """Whether its device is; None when its host does not tell."""
    state: OsdState | None
    """None when the monitors know it no more."""
    wish: OsdWish | None
    progress: OsdProgress | None
    """Of that wish."""

    @property
    def words(self) -> str:
        """What is being done with it, for people."""
        if self.wish is None:
            return "its data comes back" if self.progress is not None else ""
        if self.progress is None:
            return f"to be {self.wish.goal}"
        left = self.progress.groups_left
        held = f", {left} placement groups left" if left else ""
        return f"{self.progress.phase}{held}{f': {self.progress.words}' if self.progress.words else ''}"


def views(store: Store, cladnet: str | None = None) -> tuple[OsdView, ...]:
    """Return every OSD of a storage cluster, by id."""
    found = cluster.find(store, cladnet)
    group = found.specification.group
    wishes, progress = records.osd_wishes(store, group), records.osd_progress(store, group)
    states = {one.id: one for one in (found.state.osds if found.state else ())}
    daemons = _daemons(found)
    result = []
    for osd in sorted({*states, *wishes}):
        state, wish = states.get(osd), wishes[osd].value if osd in wishes else None
        on, daemon = daemons.get(osd, ("", None))
        told = progress.get(osd)
        result.append(
            OsdView(
                id=osd,
                host=(state.host if state else "") or (wish.host if wish else "") or on,
                device=daemon.device if daemon is not None else "",
                encrypted=daemon.encrypted if daemon is not None else None,
                state=state,
                wish=wish,
                progress=told if told is not None and (wish is None or told.asked == wish.asked) else None,
            )
        )
    return tuple(result)


def find(store: Store, osd: int, cladnet: str | None = None) -> OsdView:
    """Return one OSD; NotFound, naming those that there are, without it."""
    return _find(views(store, cladnet), osd)


def ask(store: Store, osd: int, goal: OsdGoal, *, lost: bool = False, cladnet: str | None = None) -> OsdWish:
    """Want something of an OSD; asking again for the same changes nothing.

    Args:
        lost: its data will never come back, so it is removed without being drained.
        cladnet: id or name; the only one with a storage cluster without it.

    Raises:
        NotFound: no such storage cluster or OSD.
        InvalidInput: nobody knows where it is.
    """
    group = cluster.find(store, cladnet).specification.group
    view = _find(views(store, cladnet), osd)
    if view.wish is not None and (view.wish.goal, view.wish.lost) == (goal, lost):
        return view.wish
    wish = _wish(group, view, goal, lost=lost)
    store.put(keys.osd_wish(group, osd), wish)
    return wish


def replace(
    store: Store, osd: int, device: str, *, size_bytes: int | None = None, destroy_data: bool = False,
    encrypt: bool | None = None, lost: bool = False, cladnet: str | None = None,
) -> OsdWish:  # fmt: skip
    """Want an OSD on another device of its host, under the same number and in the same place.

    It is drained first, or with `lost` done without. Asked again while it waits for its device, it takes another one.

    Args:
        device, size_bytes, destroy_data: as osd_additions.add().
        encrypt: what the new one writes is encrypted on the device; None for as it is with the one that goes.

    Raises:
        NotFound, InvalidInput: as ask(), or this can be no device; or nobody knows whether the one that goes is
            encrypted, or all are to be.
        Conflict: the device carries an OSD, or something else is wanted of this one.
    """
    osd_additions.check(device, size_bytes)
    found = cluster.find(store, cladnet)
    group = found.specification.group
    view = _find(views(store, cladnet), osd)
    if (other := osd_additions.on_device(found, view.host, device)) is not None:
        raise Conflict(f"{device} of {view.host} carries osd.{other}", hint="name another device")
    if view.wish is not None and view.wish.goal is not OsdGoal.REPLACED:
        raise Conflict(f"osd.{osd} is to be {view.wish.goal}", hint=f"larva storage osd undrain {osd}")
    if encrypt is False and found.specification.encrypt_osds:
        raise InvalidInput("every OSD of this storage cluster is encrypted", hint="leave --clear out")
    wish = view.wish or _wish(group, view, OsdGoal.REPLACED, lost=lost)
    addition = OsdAddition(
        group=group, host=wish.host, device=device, size_bytes=size_bytes, destroy_data=destroy_data, osd=osd,
        encrypt=_is_encrypted(store, found, view) if encrypt is None else encrypt,
        asked=str(uuid.uuid4()), asked_at=datetime.now(UTC),
    )  # fmt: skip
    key = keys.osd_device(group, wish.host, digest(device))
    store.transact([], [Put(keys.osd_wish(group, osd), wish), Put(key, addition)])
    return wish


def _is_encrypted(store: Store, found: ClusterView, view: OsdView) -> bool:
    """Whether what comes in an OSD's place is encrypted unasked; a host that was installed anew may not know."""
    if view.encrypted is not None:
        return view.encrypted
    if found.specification.encrypt_osds:
        return True
    before = records.osd_additions(store, found.specification.group, view.host).values()
    asked = [one for one in before if one.osd == view.id and view.wish is not None]
    if asked:  # for another device, while it waits for one
        return max(asked, key=lambda one: one.asked_at).encrypt
    raise InvalidInput(
        f"nobody knows whether osd.{view.id} is encrypted: its host does not tell", hint="say --encrypt, or --clear"
    )


def _wish(group: str, view: OsdView, goal: OsdGoal, *, lost: bool) -> OsdWish:
    state = view.state
    if state is None or not state.uuid:
        raise Conflict(f"osd.{view.id} is being removed already", hint="`larva storage osd list` shows how far that is")
    if not view.host:
        raise InvalidInput(
            f"nobody knows on which host osd.{view.id} is", hint="it never started, or has no place in the CRUSH map"
        )
    return OsdWish(
        group=group, osd=view.id, uuid=state.uuid, host=view.host, goal=goal, lost=lost, device=view.device or None,
        asked=str(uuid.uuid4()), asked_at=datetime.now(UTC),
    )  # fmt: skip


def take_back(store: Store, osd: int, *, cladnet: str | None = None) -> None:
    """Want nothing of an OSD any more; a drained one gets its data back.

    Raises:
        NotFound: nothing is wanted of it.
        Conflict: it is out of the cluster already.
    """
    view = _find(views(store, cladnet), osd)
    if view.wish is None:
        raise NotFound(f"osd.{osd} is not being drained or removed", hint="`larva storage osd list` shows what is")
    if view.state is None or (view.progress is not None and view.progress.phase is OsdPhase.GONE):
        raise Conflict(f"osd.{osd} is out of the cluster already", hint="add its device again when it is empty")
    _forget(store, view.wish)


def wait(store: Store, wish: OsdWish, *, timeout_s: float) -> OsdProgress | None:
    """Wait until a wish is fulfilled and return its last progress; None when all of it is done.

    A wish that is refused is taken back, since nothing was done for it.

    Args:
        timeout_s: for the whole; 0 waits only for the first word of the leading monitor's host.

    Raises:
        Refused: it cannot be; the message says why.
        TimedOut: it is still being done, or nobody does it.
    """
    group, osd = wish.group, wish.osd
    first_word, end = time.monotonic() + FIRST_WORD_S, time.monotonic() + timeout_s
    while True:
        now = store.get(keys.osd_wish(group, osd), OsdWish)
        if now is None or now.value.asked != wish.asked:
            return None
        told = store.get(keys.osd_progress(group, osd), OsdProgress)
        progress = told.value if told is not None and told.value.asked == wish.asked else None
        if progress is not None and progress.phase is OsdPhase.REFUSED:
            _forget(store, wish, revision=now.revision)
            raise Refused(f"osd.{osd} stays as it is: {progress.words}")
        if progress is not None and (timeout_s <= 0 or progress.phase in ENOUGH[wish.goal]):
            return progress
        if time.monotonic() > (end if progress is not None and timeout_s > 0 else max(first_word, end)):
            words = (
                f"{progress.phase}: {progress.words}" if progress is not None else "no monitor's host took it up yet"
            )
            raise TimedOut(f"osd.{osd} is not {wish.goal} yet ({words})", hint="it goes on; larva storage osd list")
        time.sleep(POLL_S)


FIRST_WORD_S = 45.0
"""A leading monitor's host looks every ten seconds at least, and asks OSDs that may not answer."""


def _forget(store: Store, wish: OsdWish, *, revision: int | None = None) -> None:
    """Take a wish back, and with it the devices that its successor would have had."""
    if not store.delete(keys.osd_wish(wish.group, wish.osd), revision=revision):
        return
    for device, addition in records.osd_additions(store, wish.group, wish.host).items():
        if wish.goal is OsdGoal.REPLACED and addition.osd == wish.osd:
            store.delete(keys.osd_device(wish.group, wish.host, digest(str(device))))


def _find(found: Sequence[OsdView], osd: int) -> OsdView:
    for view in found:
        if view.id == osd:
            return view
    there = ", ".join(f"osd.{view.id}" for view in found)
    raise NotFound(f"there is no osd.{osd}", hint=f"there are: {there}" if there else "there is no OSD yet")


def _daemons(found: ClusterView) -> dict[int, tuple[str, Daemon]]:
    """Host and daemon of each OSD, as the hosts report."""
    return {
        int(daemon.id): (host.host, daemon)
        for host in found.hosts
        for daemon in host.daemons
        if daemon.kind is DaemonKind.OSD and daemon.id.isdecimal()
    }
