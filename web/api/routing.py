"""Routes as functions of typed values: their annotations say, once, what they take and what they answer."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, make_dataclass
from functools import cache, wraps
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from flask import Blueprint, Response, g, request

from larva import codec
from larva.errors import InvalidInput
from web import body, downloads, idempotency, recording, visible
from web.api import paging
from web.api.paging import Page
from web.context import console, store
from web.downloads import Download
from web.roles import Caller, Right

T = TypeVar("T")
View = Callable[..., Any]
Resource = Callable[..., str]

OPERATION = "operation"
"""The attribute of a view function that holds its Operation."""
IF_MATCH = "If-Match"
IN_PATH = "cladnet"
"""A part of a path that is a CLADNet's id or name: the view is given its id, as `group`."""


@dataclass(frozen=True, slots=True)
class Created(Generic[T]):
    """What was created, and the path at which it is."""

    value: T
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """An answer that is a list, given page by page.

    Args:
        name: of the member that holds the items.
        order: what items are ordered by, and how a page's end is named.
    """

    name: str
    order: Callable[[Any], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one route is."""

    view: View
    method: str
    right: Right
    status: int
    wish: Any = None
    """The type of the body; None without one."""
    query: Any = None
    """The type of what the URL may say after its question mark; None without anything."""
    answer: Any = None
    """The type of the answer; None for one without content."""
    located: bool = False
    """Whether the answer says where the thing is that was created."""
    listing: Listing | None = None
    resource: Resource | None = None
    """From the view's arguments of the path, the key of etcd that the route is about; its revision is the ETag."""
    secret: bool = False
    """Whether the answer holds what is shown once only, and kept nowhere."""
    first: Callable[[], None] | None = None
    """Called before the body is read: it may refuse those who failed too often."""
    media_type: str = body.JSON

    @property
    def once(self) -> bool:
        """Whether a caller who had no answer can ask again under the same key, and it is not done twice."""
        return self.method == "POST" and self.right is not Right.PUBLIC


class Routes:
    """One subject's routes.

    Args:
        name: of the blueprint; the subject under which the API's document shows them.
        prefix: of their paths.
    """

    def __init__(self, name: str, prefix: str = "") -> None:
        self.blueprint = Blueprint(name, __name__, url_prefix=prefix or None)

    def get(
        self,
        path: str,
        right: Right = Right.READ,
        *,
        listing: Listing | None = None,
        resource: Resource | None = None,
        media_type: str = body.JSON,
    ) -> Callable[[View], View]:
        """Add a route that only looks."""
        return self._route("GET", path, right, 200, listing=listing, resource=resource, media_type=media_type)

    def post(
        self,
        path: str,
        right: Right,
        *,
        status: int,
        resource: Resource | None = None,
        secret: bool = False,
        first: Callable[[], None] | None = None,
    ) -> Callable[[View], View]:
        """Add a route that makes or does something: 201 where it is done, 202 where the hosts still have to."""
        return self._route("POST", path, right, status, resource=resource, secret=secret, first=first)

    def put(
        self,
        path: str,
        right: Right,
        *,
        status: int = 200,
        resource: Resource | None = None,
        first: Callable[[], None] | None = None,
    ) -> Callable[[View], View]:
        """Add a route that sets something, whatever it was."""
        return self._route("PUT", path, right, status, resource=resource, first=first)

    def patch(self, path: str, right: Right, *, resource: Resource | None = None) -> Callable[[View], View]:
        """Add a route that changes what is named of something."""
        return self._route("PATCH", path, right, 200, resource=resource)

    def delete(self, path: str, right: Right, *, resource: Resource | None = None) -> Callable[[View], View]:
        """Add a route that takes something away."""
        return self._route("DELETE", path, right, 204, resource=resource)

    def _route(self, method: str, path: str, right: Right, status: int, **more: Any) -> Callable[[View], View]:
        def add(view: View) -> View:
            operation = _described(view, method, right, status, **more)
            self.blueprint.add_url_rule(path, view.__name__, _served(operation), methods=[method])
            return view

        return add


def _described(
    view: View, method: str, right: Right, status: int, *, listing: Listing | None = None, **more: Any
) -> Operation:
    hints = get_type_hints(view, include_extras=True)
    answer = hints.get("return")
    located = get_origin(answer) is Created
    if located:
        (answer,) = get_args(answer)
    if listing is not None:
        answer = _page_type(listing.name, answer)
    empty = answer is type(None)
    return Operation(
        view=view, method=method, right=right, status=204 if empty else status, wish=hints.get("wish"),
        query=hints.get("query"), answer=None if empty else answer, located=located, listing=listing, **more,
    )  # fmt: skip


@cache
def _page_type(name: str, items: Any) -> type[Any]:
    """The type of a page of a list, named after what it lists."""
    (item, _) = get_args(items)
    fields = [(name, items), ("next", str | None)]
    made = make_dataclass(f"{item.__name__}Page", fields, frozen=True, slots=True, kw_only=True)
    made.__module__ = item.__module__  # two kinds of one name are told apart by it
    made.__doc__ = f"A part of a list of {name}; `next` is the cursor of the part that follows."
    return made


def operation_of(view: object) -> Operation | None:
    """What the route is that a view of Flask serves; None for one that was not added here."""
    found = getattr(view, OPERATION, None)
    return found if isinstance(found, Operation) else None


def _served(operation: Operation) -> Callable[..., Response]:
    @wraps(operation.view)
    def serve(**found: str) -> Response:
        arguments = _allowed(operation, found)
        if operation.query is not None:
            arguments["query"] = codec.from_texts(request.args.to_dict(), operation.query, source="query")
        if operation.first is not None:
            operation.first()
        page = paging.asked(request.args.to_dict()) if operation.listing is not None else None
        key = _key(operation, arguments)
        if key is None and IF_MATCH in request.headers and operation.method != "GET":
            raise InvalidInput(f"{IF_MATCH} guards nothing here", hint="leave it out; the API's description says where")
        seen = recording.current_revision(store(), key) if key is not None else 0  # before the value: never too new
        if operation.wish is not None:
            arguments["wish"] = body.read(operation.wish)

        def answer() -> Response:
            if key is not None and IF_MATCH in request.headers:
                _guard(key)
            return _answer(operation, operation.view(**arguments), page)

        if operation.once and idempotency.HEADER in request.headers:
            response = idempotency.once(console().store(), g.caller.name, answer, secret=operation.secret)
        else:
            response = answer()
        if key is not None and operation.answer is not None:
            revision = (g.store.revision(key) if "store" in g else None) or seen
            if revision:
                response.set_etag(str(revision))
        return response

    setattr(serve, OPERATION, operation)
    return serve


def _allowed(operation: Operation, found: Mapping[str, str]) -> dict[str, Any]:
    """What a view is given of the path, once it is certain that the caller may do this."""
    arguments: dict[str, Any] = dict(found)
    if operation.right is Right.PUBLIC:
        return arguments
    caller: Caller = g.caller
    name = arguments.pop(IN_PATH, None)
    if name is None:
        caller.require(operation.right)
        return arguments
    if not caller.may_anywhere(operation.right):
        caller.require(operation.right)
    group = visible.cladnet(name).id
    caller.require(operation.right, group)
    return {**arguments, "group": group}


def _key(operation: Operation, arguments: Mapping[str, Any]) -> str | None:
    if operation.resource is None:
        return None
    named = inspect.signature(operation.resource).parameters
    return operation.resource(**{name: arguments[name] for name in named})


def _guard(key: str) -> None:
    """Let what follows change the thing only as long as it is what the caller has seen (RFC 9110, section 13.1.1)."""
    revision = recording.current_revision(store(), key)
    if not revision or not request.if_match.contains(str(revision)):
        raise recording.changed_meanwhile()
    if "store" in g:
        g.store.guard(key, revision)


def _answer(operation: Operation, result: Any, page: Page | None) -> Response:
    if operation.listing is not None and page is not None:
        items, following = paging.cut(result, operation.listing.order, page)
        return body.answer({operation.listing.name: items, "next": following}, operation.status)
    if isinstance(result, Created):
        return body.created(result.value, result.location)
    if result is None:
        return body.done()
    if isinstance(result, Download):
        return downloads.answer(result)
    if operation.media_type != body.JSON:
        return Response(result, operation.status, mimetype=operation.media_type)
    return body.answer(result, operation.status)
