"""Many alarms in few words: a cloud that is cut off is one line, not one for each pair of hosts. Pure."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from cladnet.model import Moment
from cladnet.quality import Alarm, AlarmKind

_WORDS = {
    AlarmKind.UNREACHABLE: "unreachable", AlarmKind.LOSS: "losing packets", AlarmKind.SLOW: "slower than usual",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """An alarm and the host that raised it."""

    source: str
    alarm: Alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is wrong, in one line."""

    kind: AlarmKind
    destination: str
    """A host, or a cloud and how many hosts it has."""
    hosts: tuple[str, ...]
    """Those that `destination` means."""
    sources: tuple[str, ...]
    """Hosts, and clouds all of whose hosts say so."""
    since: Moment
    """Of the first alarm."""
    alarms: int
    evidence: str
    """Of the first alarm."""

    @property
    def text(self) -> str:
        """For people."""
        since = f"{self.since:%Y-%m-%d %H:%M:%S %Z}"
        return f"{self.destination} {_WORDS[self.kind]} from {', '.join(self.sources)} since {since}"


def summarise(reported: Iterable[Reported], clouds: Mapping[str, str]) -> tuple[Summary, ...]:
    """Return the alarms put together, the worst kind and the oldest first; each alarm is in one of them.

    Args:
        clouds: host → its provider's name, of every host of the CLADNet; empty where nobody knows.
    """
    members: dict[str, set[str]] = {}
    for host, cloud in clouds.items():
        if cloud:
            members.setdefault(cloud, set()).add(host)
    found: list[Summary] = []
    everything = list(reported)
    for kind in AlarmKind:
        of_source: dict[str, dict[str, Alarm]] = {}
        for each in everything:
            if each.alarm.kind is kind:
                of_source.setdefault(each.source, {})[each.alarm.destination] = each.alarm
        found += _summaries(kind, of_source, members)
    order = tuple(AlarmKind)
    return tuple(sorted(found, key=lambda each: (order.index(each.kind), each.since, each.destination)))


def _summaries(
    kind: AlarmKind, of_source: dict[str, dict[str, Alarm]], members: Mapping[str, AbstractSet[str]]
) -> Iterable[Summary]:
    for cloud, hosts in sorted(members.items()):
        whole = [source for source, alarms in of_source.items() if source not in hosts and hosts <= alarms.keys()]
        if len(hosts) < 2 or not whole:
            continue
        taken = [of_source[source].pop(host) for source in whole for host in sorted(hosts)]
        yield _summary(kind, f"{cloud} ({len(hosts)} hosts)", hosts, whole, taken, members)
    single: dict[str, dict[str, Alarm]] = {}
    for source, alarms in of_source.items():
        for host, alarm in alarms.items():
            single.setdefault(host, {})[source] = alarm
    for host, by_source in single.items():
        yield _summary(kind, host, {host}, by_source.keys(), by_source.values(), members)


def _summary(
    kind: AlarmKind, destination: str, hosts: AbstractSet[str], sources: Iterable[str], alarms: Iterable[Alarm],
    members: Mapping[str, AbstractSet[str]],
) -> Summary:  # fmt: skip
    together = sorted(alarms, key=_age)
    return Summary(
        kind=kind,
        destination=destination,
        hosts=tuple(sorted(hosts)),
        sources=_named(set(sources), hosts, members),
        since=together[0].since,
        alarms=len(together),
        evidence=together[0].evidence,
    )


def _age(alarm: Alarm) -> datetime:
    return alarm.since


def _named(
    sources: AbstractSet[str], without: AbstractSet[str], members: Mapping[str, AbstractSet[str]]
) -> tuple[str, ...]:
    """Other clouds all of whose hosts are among the sources by their name, the rest host by host."""
    names, left = [], set(sources)
    for cloud, hosts in members.items():
        if len(hosts) > 1 and hosts <= sources and not hosts & without:
            names.append(cloud)
            left -= hosts
    return tuple(sorted(names) + sorted(left))
