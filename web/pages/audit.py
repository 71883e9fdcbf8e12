"""The audit log: who changed what, when, and how it was before and after."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from flask import Blueprint, render_template, request

from larva.errors import InvalidInput, LarvaError
from web import audit, audit_page
from web.audit import Entry, Wanted
from web.context import store
from web.problems import Problem, problem_of
from web.text import text

blueprint = Blueprint("audit", __name__)

AT_ONCE = 50
FIELDS = ("user", "action", "since", "until")


@blueprint.get("/audit")
def show() -> str | tuple[str, int]:
    """The newest entries of those that are asked for, or the part that follows a cursor."""
    try:
        wanted = Wanted(
            user=_asked("user"), action=_asked("action") or "", since=_day("since"), until=_day("until", days=1),
            before=_asked("cursor"),
        )  # fmt: skip
        entries, following = audit.part(store(), wanted, AT_ONCE)
    except LarvaError as error:
        problem = problem_of(error)
        return _page((), None, problem), problem.status
    return _page(entries, following, None)


def _page(entries: Sequence[Entry], following: str | None, problem: Problem | None) -> str:
    typed = {name: request.args.get(name, "")[:200] for name in FIELDS}
    older = urlencode({**{name: each for name, each in typed.items() if each}, "cursor": following or ""})
    return render_template(
        "audit.html", entries=[(entry, audit_page.told(entry)) for entry in entries], typed=typed, problem=problem,
        older=f"/audit?{older}" if following else None, later=bool(request.args.get("cursor")),
    )  # fmt: skip


def _asked(name: str) -> str | None:
    return request.args.get(name, "").strip() or None


def _day(name: str, days: int = 0) -> datetime | None:
    """The beginning of a day (UTC) that was asked for, or that of so many days later."""
    typed = _asked(name)
    if typed is None:
        return None
    try:
        return datetime.strptime(typed, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=days)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{text('audit.' + name)}: {typed[:40]!r}", hint="2026-12-31") from error
