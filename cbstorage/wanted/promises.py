"""What a new volume can be promised on the OSDs there are, and what each promise costs."""

from dataclasses import dataclass
from datetime import datetime

from cbstorage import ground, keys, view
from cbstorage.ceph.crush import MOST_COPIES
from cbstorage.ceph.layout import NEEDED, Survey, lay, shortage
from cbstorage.ceph.write_latency import UNWISE_MS, WriteLatency, expect
from cbstorage.model import ClusterState
from cbstorage.promise import Promise
from cbstorage.view import View
from cladnet.etcd.store import Store
from cladnet.placement.assess import assess
from cladnet.placement.model import Candidate, Survive
from cladnet.placement.tree import PROMISED
from larva import codec
from larva.errors import InvalidInput, MalformedData, NotFound, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One promise, whether it can be kept, and what a write costs then."""

    survive: Survive
    missing: str
    """Why it cannot be kept; empty when it can."""
    write: WriteLatency | None
    unwise: bool
    """Whether the distance makes writes too slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Every promise there is."""

    home: str
    options: tuple[Option, ...]
    copies: int
    needed: int
    """How many of the copies have to be there for writes to go on."""
    measured_at: datetime | None
    """When the oldest of the distances was measured that the writes' costs are made of; None where none was."""
    remarks: tuple[str, ...]
    homes: tuple[str, ...]
    """Where a volume may be written from."""

    def option(self, survive: Survive) -> Option:
        """One of them."""
        return next(one for one in self.options if one.survive == survive)


def parse(survive: str | None, home: str = "") -> Promise | None:
    """Return the promise in a user's words, None for none; InvalidInput for what cannot be one."""
    if survive is None:
        if home:
            raise InvalidInput("a home needs to be told what is to be survived", hint="give --survive too")
        return None
    try:
        return codec.convert({"survive": survive, "home": home}, Promise, source="the promise")
    except MalformedData as error:
        words = ", ".join(Survive)
        raise InvalidInput(
            f"{error.message}", hint=f"survive is one of {words}; home a provider or provider/region, as aws/eu-west-2"
        ) from error


def check(store: Store, group: str, promise: Promise) -> None:
    """Raise unless the OSDs that are up and in can keep a promise.

    Raises:
        NotFound: the group has no storage cluster.
        InvalidInput: they cannot; the message says what is missing.
        Unavailable: nobody knows yet how they stand.
    """
    lay(promise, present(store, group)[1])


def preview(store: Store, group: str, home: str = "") -> Preview:
    """Say of every promise whether it can be kept, and what a write costs; errors as check()."""
    if home:
        parse(Survive.HOST, home)
    seen, there = present(store, group)
    options = tuple(_option(Promise(survive=survive, home=home), there) for survive in Survive)
    return Preview(
        home=home, options=options, copies=MOST_COPIES, needed=NEEDED,
        measured_at=ground.measured_at(store, group, {one.place.host for one in there.ground}),
        remarks=tuple(_remarks(store, seen, there, options)),
        homes=tuple(sorted({home for one in there.ground for home in one.homes[: 2 if one.cloud.region else 1]})),
    )  # fmt: skip


def unwise(option: Option) -> str:
    """What to say of a promise that makes writes too slow; empty for one that does not."""
    if not option.unwise or option.write is None:
        return ""
    return (
        f"a write would take {option.write.expected_ms:.0f} ms; above {UNWISE_MS:.0f} ms stretching is unwise. "
        "Choose a home near its writers, or promise less"
    )


def _option(promise: Promise, there: Survey) -> Option:
    missing = shortage(promise, there)
    write = None if missing else expect(lay(promise, there), there, promise.home)
    return Option(survive=promise.survive, missing=missing, write=write, unwise=write is not None and write.unwise)


def present(store: Store, group: str) -> tuple[View, Survey]:
    """The storage of a group, and the ground that its OSDs which are up and in make; errors as check()."""
    seen = view.read(store, group)
    if seen is None:
        raise NotFound(f"CLADNet {group} has no storage cluster", hint=f"larva storage init --group {group}")
    state = store.get(keys.cluster_state(group), ClusterState)
    if state is None:
        raise Unavailable("the storage cluster is not up yet: nothing can be promised", hint="larva storage status")
    clouds = {host: rule.cloud for host, rule in seen.rules.items()}
    return seen, ground.survey(state.value.osds, clouds, ground.measured(store, group), up=True)


def _remarks(store: Store, seen: View, there: Survey, options: tuple[Option, ...]) -> list[str]:
    found = []
    if there.guessed:
        pairs = ", ".join(f"{one} to {other}" for one, other in there.guessed[:5])
        more = f" and {len(there.guessed) - 5} more" if len(there.guessed) > 5 else ""
        found.append(f"never measured, guessed high: {pairs}{more}; run `larva net status` first")
    monitors = [host for host in seen.specification.mon_hosts if host in seen.rules]
    if monitors:
        hosts = [Candidate(host=host, cloud=rule.cloud) for host, rule in seen.rules.items()]
        outlived = assess(hosts, ground.measured(store, seen.group), monitors).outlives()
        beyond = [one.survive for one in options if not one.missing and not set(PROMISED[one.survive]) <= outlived]
        if beyond:
            found.append(
                f"the monitors ({', '.join(monitors)}) do not outlive {', '.join(beyond)}: data would be kept, "
                "but could not be reached before they are back"
            )
    return found
