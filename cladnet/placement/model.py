"""The values of placement: what is asked, what there is to choose from, what is recommended."""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from cladnet.model import CloudFacts


class Survive(StrEnum):
    """The widest single failure that the service has to outlive."""

    HOST = "host"
    ZONE = "zone"
    REGION = "region"
    CSP = "csp"
    CSP_REGION = "csp+region"


class Kind(StrEnum):
    """What can fail at once."""

    HOST = "host"
    ZONE = "zone"
    REGION = "region"
    """One provider's region."""
    AREA = "area"
    """A metropolitan area with the regions of every provider in it: the logical region."""
    CSP = "csp"


class Model(IntEnum):
    """The five models, by where the members are; simpler ones first."""

    SINGLE_ZONE = 1
    MULTI_ZONE = 2
    MULTI_REGION = 3
    MULTI_CSP = 4
    MULTI_CSP_MULTI_REGION = 5

    @property
    def title(self) -> str:
        """The model in words."""
        return {
            Model.SINGLE_ZONE: "one zone",
            Model.MULTI_ZONE: "several zones of one region",
            Model.MULTI_REGION: "several regions of one CSP",
            Model.MULTI_CSP: "several CSPs in logically one region",
            Model.MULTI_CSP_MULTI_REGION: "several CSPs in several regions",
        }[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A host that could be a member."""

    host: str
    cloud: CloudFacts
    area: str = ""
    """Its metropolitan area, where the caller knows better than the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rtt:
    """A round-trip time between two hosts, zones (`csp/region/zone`) or regions (`csp/region`), in any direction.

    None says that packets were sent and none came back.
    """

    between: tuple[str, str]
    ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A candidate and the failure domains it is in; names are unique over all providers."""

    host: str
    csp: str
    region: str
    """`csp/region`"""
    zone: str
    """`csp/region/zone`"""
    area: str

    def domain(self, kind: Kind) -> str:
        """The failure domain of one kind that this host is in."""
        return {
            Kind.HOST: self.host,
            Kind.ZONE: self.zone,
            Kind.REGION: self.region,
            Kind.AREA: self.area,
            Kind.CSP: self.csp,
        }[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A recommended host."""

    site: Site
    write_ms: float
    """What a write costs while this member leads: the round trip to the last of the nearest majority."""


class Outcome(StrEnum):
    """What became of a model."""

    CHOSEN = "chosen"
    PROMISES_LESS = "promises-less"
    """By its form it does not outlive what has to be outlived."""
    IMPOSSIBLE = "impossible"
    """These candidates cannot fill it."""
    SLOWER = "slower"
    NO_GAIN = "no-gain"
    """Its best hosts write no faster than those of a simpler model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why a model is chosen or not."""

    model: Model
    outcome: Outcome
    reason: str
    write_ms: float | None = None
    """The best that hosts within its bounds can do; None where none can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question of the decision tree as it was answered."""

    question: str
    yes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One single failure and what it does to the service."""

    kind: Kind
    name: str
    lost: tuple[str, ...]
    left: int
    survived: bool
    """Whether a majority of all members is left."""
    promised: bool
    """Whether the policy asks for it."""
    write_ms: float | None
    """What a write costs while it lasts, with the best leader of those left; None when there is no majority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """Which model, which hosts, what they outlive and what a write costs."""

    model: Model
    title: str
    nodes: int
    majority: int
    survive: Survive
    leader: str
    """The member that should lead."""
    write_ms: float
    """Expected write latency with that leader."""
    worst_write_ms: float
    """The same with the worst leader that an election could bring."""
    members: tuple[Member, ...]
    """The leader first, then by distance from it."""
    path: tuple[Answer, ...]
    verdicts: tuple[Verdict, ...]
    failures: tuple[Failure, ...]
    candidates: int
    estimated: tuple[tuple[str, str], ...] = ()
    """Pairs of members whose round-trip time nobody measured; a pessimistic guess stands for it."""
    warnings: tuple[str, ...] = field(default=())
