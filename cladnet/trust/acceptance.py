"""What an agent takes up of what it reads, by pure functions. That each is the CA's word was seen before."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta

from cladnet.model import CladnetSpecification, NetworkingRule

SKEW = timedelta(minutes=1)
"""By so much the clocks of two control nodes may differ: a host that left one moment and came back at the next has a
rule of the other's, and not every agent saw that the first was gone in between."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The rules to go by, and why others were left out, by host."""

    rules: tuple[NetworkingRule, ...]
    refused: Mapping[str, str]


def accept(
    read: Iterable[NetworkingRule],
    known: Iterable[NetworkingRule],
    *,
    revoked: AbstractSet[str],
    now: datetime,
) -> Accepted:
    """Return the rules that count, of those that were read.

    A rule that was taken up before goes on when it expires: whoever keeps the control plane away must not cost traffic.
    An older one of the same host, or one that expired before it was ever seen, may have been written back by whoever
    can write etcd: the one taken up before stays.

    Args:
        known: what was taken up before, also before a reboot.
        revoked: serial numbers of certificates that are good no more.
        now: aware.
    """
    before = {rule.host: rule for rule in known if rule.certificate not in revoked}
    rules, refused = [], {}
    for rule in read:
        present = before.get(rule.host)
        if rule.certificate in revoked:
            refused[rule.host] = "the certificate of its host was revoked"
            continue
        reason = _objection(rule, present, now)
        if not reason:
            rules.append(rule)
            continue
        refused[rule.host] = reason
        if present is not None:
            rules.append(present)
    return Accepted(tuple(rules), refused)


def is_earlier(read: CladnetSpecification, known: CladnetSpecification | None) -> bool:
    """Whether a specification that was read came before the one that is known, also of an earlier life of its id."""
    return known is not None and (read.created_at, read.version) < (known.created_at, known.version)


def _objection(rule: NetworkingRule, present: NetworkingRule | None, now: datetime) -> str:
    if rule.valid_until is None:
        return "its rule does not say how long it is good"
    if present is not None and present.valid_until is not None:
        if rule == present and rule.valid_until == present.valid_until:
            return ""
        if rule.valid_until < present.valid_until - SKEW:
            return "its rule is older than the one known"
    return f"its rule expired on {rule.valid_until:%Y-%m-%d %H:%M} UTC" if rule.valid_until <= now else ""
