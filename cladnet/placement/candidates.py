"""Where candidates and their distances come from: a file, or a CLADNet's hosts and the rows of its status test."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cladnet.model import CloudFacts, HostState, HostStatus
from cladnet.network_hosts import HostView
from cladnet.placement.areas import region_of, zone_of
from cladnet.placement.model import Candidate, Rtt
from larva import codec
from larva.errors import InvalidInput, MalformedData


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Hosts to choose from, what is known of their distances, and remarks on what was left out."""

    hosts: tuple[Candidate, ...]
    rtts: tuple[Rtt, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Host:
    host: str
    provider: str = ""
    region: str = ""
    zone: str = ""
    area: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rtt:
    between: tuple[str, str]
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    candidates: tuple[_Host, ...]
    rtt: tuple[_Rtt, ...] = ()


def read(path: Path) -> Candidates:
    """Return what a TOML or JSON file describes.

    Raises:
        InvalidInput: the file's name ends in neither `.toml` nor `.json`.
        MalformedData: it cannot be read or does not have the form; the message holds the place in it.
    """
    if path.suffix == ".toml":
        return _checked(codec.read_toml(path, _File), str(path))
    if path.suffix == ".json":
        try:
            data = path.read_bytes()
        except OSError as error:
            raise MalformedData(f"{path}: {error.strerror}") from error
        return _checked(codec.decode(data, _File, source=str(path)), str(path))
    raise InvalidInput(f"{path} is neither TOML nor JSON", hint="end its name in .toml or .json")


def _checked(file: _File, source: str) -> Candidates:
    hosts: dict[str, Candidate] = {}
    for number, entry in enumerate(file.candidates):
        where = f"{source}: candidates[{number}]"
        for name in ("host", "provider", "region", "zone", "area"):
            value = getattr(entry, name)
            if "/" in value or value != value.strip() or value == "?":
                raise MalformedData(f"{where}.{name}: {value!r} cannot be a name")
        if not entry.host:
            raise MalformedData(f"{where}.host: expected a name")
        if entry.host in hosts:
            raise MalformedData(f"{where}.host: {entry.host!r} is there already")
        cloud = CloudFacts(provider=entry.provider, region=entry.region, zone=entry.zone)
        hosts[entry.host] = Candidate(host=entry.host, cloud=cloud, area=entry.area)
    ends = set(hosts) | {place(host) for host in hosts.values() for place in (zone_of, region_of)}
    for number, rtt in enumerate(file.rtt):
        where = f"{source}: rtt[{number}]"
        for end in rtt.between:
            if end not in ends:
                raise MalformedData(
                    f"{where}.between: no candidate is {end!r} or in it",
                    hint="name two hosts, zones as csp/region/zone, or regions as csp/region",
                )
        if not (math.isfinite(rtt.ms) and rtt.ms >= 0):
            raise MalformedData(f"{where}.ms: {rtt.ms} is no round-trip time")
        if rtt.between[0] == rtt.between[1] and rtt.between[0] in hosts:
            raise MalformedData(f"{where}.between: {rtt.between[0]!r} has no distance from itself")
    return Candidates(hosts=tuple(hosts.values()), rtts=tuple(Rtt(between=rtt.between, ms=rtt.ms) for rtt in file.rtt))


def of_cladnet(views: Iterable[HostView], rows: Sequence[HostStatus]) -> Candidates:
    """Return the hosts of a CLADNet that are up, and their last status tests' average round-trip times."""
    hosts = []
    missing = []
    for view in views:
        if view.present and view.state == HostState.ACTIVE:
            hosts.append(Candidate(host=view.host, cloud=view.cloud))
        else:
            missing.append(view.host)
    rtts = distances(rows)
    remarks = []
    if missing:
        remarks.append(f"left out, since they are not up: {', '.join(missing)}")
    if not rtts:
        remarks.append("no status test was run, so every distance is a guess: run `larva net status` first")
    return Candidates(hosts=tuple(hosts), rtts=rtts, remarks=tuple(remarks))


def distances(rows: Iterable[HostStatus]) -> tuple[Rtt, ...]:
    """The average round-trip times that hosts measured in their last status tests."""
    return tuple(
        Rtt(between=(row.host, cell.destination), ms=cell.avg_ms)
        for row in rows
        for cell in row.latencies
        if cell.sent > 0 and cell.destination != row.host
    )
