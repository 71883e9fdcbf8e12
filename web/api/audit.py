"""Who changed what, for administrators."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from msgspec import Meta

from web import audit
from web.api.routing import Routes
from web.audit import Entry, Wanted
from web.context import store
from web.roles import Right

routes = Routes("audit")

Aware = Annotated[datetime, Meta(tz=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which entries."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: str | None = None
    """`next` of the part before: older ones."""
    user: str | None = None
    action: str | None = None
    """As `volumes.create`, or the beginning of that."""
    since: Aware | None = None
    """Not before then."""
    until: Aware | None = None
    """Before then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLog:
    """A part of the log, the newest first; `next` is the cursor of the part that follows."""

    entries: tuple[Entry, ...]
    next: str | None


@routes.get("/audit", Right.ADMINISTER)
def show(query: AuditQuery) -> AuditLog:
    """Who changed what, and how it was before and after; the newest first."""
    wanted = Wanted(
        user=query.user, action=query.action or "", since=query.since, until=query.until, before=query.cursor
    )
    found, following = audit.part(store(), wanted, query.limit)
    return AuditLog(entries=found, next=following)
