"""Who changed what, for administrators."""

from dataclasses import dataclass
from itertools import islice
from typing import Annotated

from msgspec import Meta

from web import audit
from web.api.routing import Routes
from web.audit import Entry
from web.context import store
from web.roles import Right

routes = Routes("audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which entries."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: str | None = None
    """`next` of the part before: older ones."""
    user: str | None = None
    action: str | None = None
    """As `volumes.create`, or the beginning of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLog:
    """A part of the log, the newest first; `next` is the cursor of the part that follows."""

    entries: tuple[Entry, ...]
    next: str | None


@routes.get("/audit", Right.ADMINISTER)
def show(query: AuditQuery) -> AuditLog:
    """Who changed what, and how it was before and after; the newest first."""
    wanted = (
        entry
        for entry in audit.newest_first(store(), before=query.cursor)
        if query.user in (None, entry.user) and entry.action.startswith(query.action or "")
    )
    found = tuple(islice(wanted, query.limit + 1))
    more = len(found) > query.limit
    return AuditLog(entries=found[: query.limit], next=found[query.limit - 1].id if more else None)
