"""The next step in the replacement of one cephx key: pure, so that every rule is read in one place.

The key that follows is made beside the present one (`auth get-or-create-pending`), and both are good until it is
first used or committed. Ceph 18.2.7 also takes it for used when somebody fails to log in by a wrong key, so the old one
may end at any time; and it was seen to keep both though the next was in use, which is then committed here.
Each step is found anew from what Ceph, etcd and the hosts say: any may be done twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from cbstorage.rotation_model import KeyPhase, KeyRotation, KeyState


class Kind(StrEnum):
    """What an identity is for, which decides who is the first to use its next key."""

    MOUNT = "mount"
    """Its host, when it mounts the next time."""
    CLIENT = "client"
    """Its host, with its next word to the monitors."""
    ADMIN = "admin"
    """Shared by the monitors' hosts: committed once all of them have it."""
    DAEMON = "daemon"
    """The daemon, when it starts the next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One host that has a key; fingerprints, empty where there is none."""

    sealed: str = ""
    """Of the key sealed to it in etcd."""
    sealed_next: str = ""
    held: frozenset[str] = frozenset()
    """What it says lies on its disk."""
    used: frozenset[str] = frozenset()
    """What it says its daemon was started with, or its volume mounted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that is known of one identity; keys as fingerprints."""

    entity: str
    kind: Kind
    volume: str | None = None
    key: str
    made_at: datetime
    """When Ceph's present key was made."""
    pending: str = ""
    holders: Mapping[str, Holder]
    state: KeyState | None = None
    """None before anybody looked."""
    wishes: Sequence[KeyRotation] = field(default=())
    """Those that mean it."""

    def initial(self) -> KeyState:
        """What is known so far: a key that was made after a wish is one that it asked for."""
        known = tuple(sorted(wish.asked for wish in self.wishes if self.made_at >= wish.asked_at))
        hosts = tuple(sorted(self.holders))
        if self.state is None:
            return KeyState(entity=self.entity, hosts=hosts, volume=self.volume, made_at=self.made_at, done=known)
        return replace(self.state, hosts=hosts, volume=self.volume)

    def due(self) -> tuple[KeyRotation, ...]:
        """The wishes that are not fulfilled."""
        done = self.initial().done
        return tuple(wish for wish in self.wishes if wish.asked not in done)

    def is_under_way(self) -> bool:
        """Whether the key is being replaced, or should be."""
        return bool(self.initial().old or self.due())


class Act(StrEnum):
    """What to do; the state that comes with it is written first, with END and DONE afterwards."""

    NONE = "none"
    MAKE = "make"
    """Make the next key."""
    SEAL = "seal"
    """Put into etcd what its hosts should have."""
    CLEAR = "clear"
    """Take the next key back, which may be in the wrong hands as well."""
    COMMIT = "commit"
    """Make the next key the only one."""
    END = "end"
    """End every session that was opened with the old key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do, and how the key stands."""

    act: Act
    state: KeyState
    again: bool
    """Whether another look is worth while soon."""


def step(facts: Facts, *, may_commit: bool = True) -> Step:
    """Return the next step.

    What was fulfilled is kept for good: a wish that means a host which left means it again when it is back.

    Args:
        may_commit: whether one more daemon may be cut off from its old key: they are restarted one after the other.
    """
    state, due = facts.initial(), facts.due()
    if not state.old:
        if not due:
            return _settled(facts, state)
        # Said before anything is done: whoever goes on after a crash knows which key was the old one.
        state = replace(state, old=facts.key, replacing=_asked(facts), phase=KeyPhase.MADE)
        return Step(act=Act.NONE, state=state, again=True)
    if facts.key == state.old:
        return _both(facts, state, due, may_commit=may_commit)
    return _after(facts, state)


def _settled(facts: Facts, state: KeyState) -> Step:
    state = replace(state, phase=KeyPhase.CURRENT, made_at=facts.made_at)
    act = Act.SEAL if _unsealed(facts, state) else Act.NONE
    return Step(act=act, state=state, again=act is Act.SEAL)


def _both(facts: Facts, state: KeyState, due: Sequence[KeyRotation], *, may_commit: bool) -> Step:
    """The old key is good still."""
    state = replace(state, made_at=facts.made_at)
    hurried = [wish for wish in due if wish.now]
    if any(wish.asked not in state.replacing for wish in hurried):
        if facts.pending:
            return Step(act=Act.CLEAR, state=state, again=True)
        return Step(act=Act.NONE, state=replace(state, replacing=_asked(facts), phase=KeyPhase.MADE), again=True)
    if not facts.pending:
        return Step(act=Act.MAKE, state=replace(state, phase=KeyPhase.MADE), again=True)
    held = all(facts.pending in one.held for one in facts.holders.values())
    state = replace(state, phase=KeyPhase.HELD if held else KeyPhase.MADE)
    if _unsealed(facts, state):
        return Step(act=Act.SEAL, state=state, again=True)
    hurry = hurried and may_commit
    if facts.kind is Kind.ADMIN:  # whoever commits it has to have it, etcd away or not
        hurry = hurry and any(facts.pending in one.held for one in facts.holders.values())
    used = all(facts.pending in one.used for one in facts.holders.values())
    if hurry or used or (held and facts.kind is Kind.ADMIN):
        # Said before as well: no other daemon may be cut off while this one is.
        return Step(act=Act.COMMIT, state=replace(state, phase=KeyPhase.ENDING), again=True)
    return Step(act=Act.NONE, state=state, again=bool(hurried))


def _after(facts: Facts, state: KeyState) -> Step:
    """The next key was used, or committed: it is the only one."""
    state = replace(state, made_at=facts.made_at, phase=KeyPhase.ENDING)
    if _unsealed(facts, state):
        return Step(act=Act.SEAL, state=state, again=True)
    at_once = any(wish.now for wish in facts.wishes if wish.asked in state.replacing)
    if at_once and facts.kind is Kind.DAEMON and not all(facts.key in one.used for one in facts.holders.values()):
        return Step(act=Act.NONE, state=state, again=False)
    done = replace(
        state, phase=KeyPhase.CURRENT, old="", replacing=(), number=state.number + 1,
        done=tuple(sorted({*state.done, *state.replacing})),
    )  # fmt: skip
    ends = at_once and facts.kind is Kind.MOUNT
    return Step(act=Act.END if ends else Act.NONE, state=done, again=bool(facts.due()))


def _asked(facts: Facts) -> tuple[str, ...]:
    return tuple(sorted(wish.asked for wish in facts.wishes))


def _unsealed(facts: Facts, state: KeyState) -> bool:
    """Whether a host has another key in etcd than it should.

    A daemon has its first key from the monitors or from its host, and none in etcd.
    """
    first = facts.kind is Kind.DAEMON and state.number == 0 and facts.key == (state.old or facts.key)
    return any(
        one.sealed_next != facts.pending or (one.sealed != facts.key and not (first and not one.sealed))
        for one in facts.holders.values()
    )
