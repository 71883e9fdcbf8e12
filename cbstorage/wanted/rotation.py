"""The replacement of cephx keys as desired state in etcd: whose keys, and how far that is. No key is ever shown."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from cbstorage import keys, records, view
from cbstorage.rotation_model import KeyPhase, KeyRotation, KeyState, RotationScope
from cbstorage.wanted import volumes
from cladnet.etcd.store import Store
from larva.errors import NotFound

_WORDS = {
    KeyPhase.MADE: "the next one is made; not every host has it yet",
    KeyPhase.HELD: "its host has the next one, and uses it when it mounts or starts the next time",
    KeyPhase.ENDING: "the old one is good no more; what runs by it is being restarted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """How the key of one identity stands."""

    entity: str
    hosts: tuple[str, ...]
    volume: str | None
    made_at: datetime
    number: int
    """How often it was replaced."""
    phase: KeyPhase
    waiting: bool
    """Whether somebody asked for a replacement that is not done."""
    in_use: bool = False
    """Whether it is of a mount that should be made anew for the next key, and that somebody uses."""

    @property
    def words(self) -> str:
        """For people."""
        if self.phase is KeyPhase.CURRENT:
            return "to be replaced" if self.waiting else ""
        return _WORDS[self.phase]

    def is_enough(self, wish: KeyRotation) -> bool:
        """Whether nothing is left but what a wish leaves to its host: its next start, or its next mount.

        What is to be mounted anew is left to nobody but to who uses the volume.
        """
        if not self.waiting:
            return True
        left = self.phase is KeyPhase.HELD and not wish.now
        return left and (self.in_use or self.volume is None or not wish.remount)


def ask(
    store: Store, group: str, scope: RotationScope, name: str = "all", *, now: bool = False, remount: bool = False
) -> KeyRotation:
    """Want cephx keys replaced; each of them is once for each time of asking.

    Args:
        name: of the host or volume.
        now: the old keys end at once, and what was opened with them; hosts that are away get new ones when they come.
        remount: volumes that nobody uses are mounted anew for it.

    Raises:
        NotFound: no such storage cluster, host or volume.
    """
    seen = view.read(store, group)
    if seen is None:
        raise NotFound(f"CLADNet {group} has no storage cluster", hint="larva storage init makes one")
    if scope is RotationScope.HOST and name not in seen.hosts:
        raise NotFound(f"no host {name} in CLADNet {group}", hint=f"there are: {', '.join(sorted(seen.hosts))}")
    if scope is RotationScope.VOLUME and records.volume(store, group, name) is None:
        raise volumes.unknown(group, name)
    wish = KeyRotation(
        group=group, scope=scope, name=name, asked=str(uuid.uuid4()), now=now, remount=remount,
        asked_at=datetime.now(UTC),
    )  # fmt: skip
    store.put(keys.key_rotation(group, scope, name), wish)
    return wish


def views(store: Store, group: str) -> tuple[KeyView, ...]:
    """Return every key of a storage cluster that hosts have, by identity."""
    wishes = records.key_rotations(store, group)
    states = sorted((item.value for item in records.key_states(store, group).values()), key=lambda one: one.entity)
    used = _in_use(store, group)
    return tuple(_view(state, [wish for wish in wishes if _means(wish, state)], used) for state in states)


def wait(store: Store, wish: KeyRotation, *, timeout_s: float) -> tuple[KeyView, ...]:
    """Wait until every key that a wish means is replaced, or left to its host's next mount or start; return the keys.

    Raises:
        TimedOut: some are not; the message names them. It goes on all the same.
    """

    def look() -> tuple[tuple[KeyView, ...], bool, str]:
        states = [item.value for item in records.key_states(store, wish.group).values()]
        used = _in_use(store, wish.group)
        meant = [_view(state, [wish], used) for state in states if _means(wish, state)]
        left = sorted(one.entity for one in meant if not one.is_enough(wish))
        few = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
        # A cluster that nobody looked at yet has no states, and its leading host has not taken the wish up.
        return tuple(meant), bool(states) and not left, few or "the storage hosts have not taken it up"

    return volumes.wait(look, "keys are not replaced yet", timeout_s)


def _means(wish: KeyRotation, state: KeyState) -> bool:
    return wish.means(frozenset(state.hosts), state.volume)


def _in_use(store: Store, group: str) -> frozenset[tuple[str, str]]:
    """Hosts and volumes of mounts that should be made anew for their key, and that somebody uses."""
    return frozenset(pair for pair, item in records.mount_states_of(store, group).items() if item.value.in_use)


def _view(state: KeyState, wishes: list[KeyRotation], used: frozenset[tuple[str, str]]) -> KeyView:
    return KeyView(
        entity=state.entity, hosts=state.hosts, volume=state.volume, made_at=state.made_at, number=state.number,
        phase=state.phase, waiting=any(wish.asked not in state.done for wish in wishes),
        in_use=state.volume is not None and any((host, state.volume) in used for host in state.hosts),
    )  # fmt: skip
