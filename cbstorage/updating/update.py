"""One security update of this host: packages, then what runs old code, guarded daemons only in this host's turn."""

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from cbstorage import keys
from cbstorage.host import claim, systemd, wholeness
from cbstorage.updating.order import Restarts, restarts
from cladnet.control import census
from cladnet.etcd.store import Store
from cladnet.etcd.turn import LOOK_S, TTL_S, Turn
from cladnet.keys import UPDATE_TURN, enrolled_host
from cladnet.member import Member, member_file
from cladnet.model import EnrolledHost, Role
from larva import packages, replaced, settings
from larva.errors import Conflict, ProgramFailed, TimedOut, Unavailable
from larva.packages import Upgrade

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What there is to do."""

    upgrades: tuple[Upgrade, ...]
    """Not known while a package is unfinished."""
    unfinished: tuple[str, ...] = ()
    """Packages that an interrupted run left between two states."""
    restarts: Restarts

    @property
    def nothing(self) -> bool:
        """Whether a run would change nothing."""
        one = self.restarts
        return not (self.upgrades or self.unfinished or one.plain or one.control or one.storage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long what may take, in seconds."""

    patience_s: float = 3600.0
    """For this host's turn, and each time for things to be whole."""
    settled_s: float = 15.0
    """Things are whole when they were at every look for so long: Ceph's manager hears of a change within 5 s
    (mgr_stats_period), and tells what it heard before until then."""
    ttl_s: int = TTL_S
    """The turn of a host that died is its for so long."""
    look_s: float = LOOK_S
    """Between two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Something that two hosts must not disturb at once.

    Args:
        prefix: of its queue in etcd.
        lacks: what keeps it from being whole now; Unavailable while nobody tells.
    """

    what: str
    prefix: str
    store: Store
    lacks: Callable[[], str]


def due() -> Due:
    """Return what there is to do by the lists of packages that are there."""
    unfinished = packages.unfinished()
    upgrades = () if unfinished else packages.pending()
    return Due(upgrades=upgrades, unfinished=unfinished, restarts=restarts(replaced.services()))


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Be the only run on this host; Conflict if another is at it."""
    path = settings.state_directory() / "update.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "another update of this host is running", hint="`journalctl -u larva-update` shows it"
            ) from error
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def guards_of_this_host() -> Iterator[tuple[Guard, ...]]:
    """Give what this host's roles make it part of, in the order in which everybody queues up; nothing for a member."""
    with contextlib.ExitStack() as stack:
        found = []
        if member_file().exists():
            me = Member.load()
            if Role.CONTROL in me.roles:
                from cladnet.access.root import open_root  # with the CA's cryptography; most hosts need none of it

                root = stack.enter_context(open_root())
                found.append(_control(root, me))
            if (served := claim.current()) is not None:
                store = stack.enter_context(Store.of_this_host())
                enrolled = store.get(enrolled_host(me.host), EnrolledHost)
                if enrolled is not None and served.group in enrolled.value.groups:  # else its daemons were stopped
                    found.append(_storage(store, served.group, me.host))
        yield tuple(found)


def _control(root: Store, me: Member) -> Guard:
    return Guard(
        what="the control plane", prefix=UPDATE_TURN, store=root, lacks=lambda: unwell(census.look(root, me))
    )  # fmt: skip


def _storage(store: Store, group: str, host: str) -> Guard:
    return Guard(
        what="storage", prefix=keys.update_turns_of(group), store=store,
        lacks=lambda: wholeness.lacks(wholeness.look(host)),
    )  # fmt: skip


def unwell(nodes: Sequence[census.NodeView]) -> str:
    """Return which control nodes are not well, in words; empty when all are."""
    return ", ".join(f"{one.host} is {one.state}" for one in nodes if one.state is not census.NodeState.HEALTHY)


def run(
    guards: Sequence[Guard],
    host: str,
    *,
    pace: Pace,
    look: Callable[[], Due] = due,
    finish: Callable[[], None] = packages.finish,
    upgrade: Callable[[], None] = packages.upgrade,
    restart: Callable[[str], None] = systemd.restart,
) -> Due:
    """Do all there is to do, and return it.

    Args:
        guards: what this host is part of.
        look: what there is to do; asked again once packages are replaced.

    Raises:
        TimedOut: its turn did not come, or something was not whole in time; nothing more was touched.
        Conflict: its turn ended while it worked.
        ProgramFailed: packages, or a guarded daemon, at which it ended; or other services, once all else was done.
    """
    todo = look()
    if todo.nothing:
        return todo
    with contextlib.ExitStack() as stack:
        turns = []
        for guard in guards:
            turn = Turn(guard.store, guard.prefix, host, ttl_s=pace.ttl_s)
            stack.enter_context(turn.taken(patience_s=pace.patience_s, look_s=pace.look_s))
            turns.append(turn)
            log.info("it is this host's turn in %s", guard.what)

        def ready() -> None:
            for guard in guards:
                await_whole(guard, pace)
            for turn in turns:
                turn.holds()

        try:
            ready()  # also before packages are replaced: their own scripts may restart what they belong to
        except TimedOut as error:
            if not todo.unfinished:
                raise
            log.warning("%s; what is unfinished may be why", error.message)
            for turn in turns:
                turn.holds()
        if todo.unfinished:
            log.info("finishing %s", ", ".join(todo.unfinished))
            finish()
            todo = replace(look(), unfinished=todo.unfinished)
            ready()
        if todo.upgrades:
            log.info("upgrading %s", ", ".join(f"{one.name} to {one.new}" for one in todo.upgrades))
            upgrade()
        after = look().restarts
        failed = [unit for unit in after.plain if not _restarted(unit, restart)]
        for unit in (*after.control, *after.storage):
            ready()
            log.info("restarting %s", unit)
            restart(unit)
        ready()
    if failed:
        raise ProgramFailed(f"not restarted: {', '.join(failed)}", hint="`systemctl status` of each tells why")
    return replace(todo, restarts=after)


def _restarted(unit: str, restart: Callable[[str], None]) -> bool:
    log.info("restarting %s", unit)
    try:
        restart(unit)
    except (ProgramFailed, TimedOut) as error:
        log.error("%s", error.message)  # noqa: TRY400 - the traceback says nothing more
        return False
    return True


def await_whole(
    guard: Guard,
    pace: Pace,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when nothing lacked at any look for a while; TimedOut, with what does, when patience ends."""
    deadline = clock() + pace.patience_s
    whole_since: float | None = None
    while True:
        try:
            words = guard.lacks()
        except Unavailable as error:
            words = error.message
        now = clock()
        if words:
            whole_since = None
            if now > deadline:
                raise TimedOut(f"{guard.what} is not whole: {words}", hint="mend that; the next run goes on from here")
            log.info("waiting for %s: %s", guard.what, words)
        elif whole_since is None:
            whole_since = now
        if whole_since is not None and now - whole_since >= pace.settled_s:
            return
        sleep(pace.look_s)
