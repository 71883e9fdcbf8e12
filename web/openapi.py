"""The API's description as OpenAPI 3.1, made of the routes and of the types that they take and answer."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from flask import Flask
from werkzeug.routing import Rule

from larva import __version__, codec
from web import body, idempotency, problems
from web.api.paging import Page
from web.api.routing import IF_MATCH, IN_PATH, Operation, operation_of
from web.downloads import Download
from web.problems import Problem
from web.roles import ALLOWED, Right

VERSION = "3.1.1"
REFERENCE = "#/components/schemas/{name}"
_PART = re.compile(r"<(?:(?P<kind>int):)?(?P<name>[a-z_]+)>")
_PARTS = {None: {"type": "string"}, "int": {"type": "integer", "minimum": 0}}
_WORDS = {IN_PATH: "Id or name of a CLADNet."}

_ALWAYS = (400, 404, 409, 422, 503)
_LOGIN = (401, 403)
_BODY = (413, 415)
_CHANGE = (504,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    """As OpenAPI writes it: `/v1/cladnets/{cladnet}`."""
    name: str
    """Subject and view: `cladnets.create`."""
    parts: Mapping[str, str | None]
    """What stands in the path, and its kind."""
    operation: Operation


def routes(app: Flask) -> tuple[Route, ...]:
    """Every route of an application that says what it takes and answers, by path and method."""
    found = [route for rule in app.url_map.iter_rules() for route in _of_rule(app, rule)]
    return tuple(sorted(found, key=lambda route: (route.path, route.method)))


def _of_rule(app: Flask, rule: Rule) -> Iterator[Route]:
    operation = operation_of(app.view_functions[rule.endpoint])
    if operation is None:
        return
    parts = {match["name"]: match["kind"] for match in _PART.finditer(rule.rule)}
    path = _PART.sub(lambda match: "{" + match["name"] + "}", rule.rule)
    for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
        name = rule.endpoint.removeprefix("api.")
        yield Route(method=method, path=path, name=name, parts=parts, operation=operation)


def document(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of an application's routes."""
    found = routes(app)
    types = list(dict.fromkeys(_types(found)))
    schemas, named = codec.schemas(types, reference=REFERENCE)
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in found:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of, named)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Larva", "version": __version__, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "One network and one storage for VMs of different clouds. Errors are problem documents "
            "(RFC 9457) with a stable `code`.",
        },
        "paths": paths,
        "tags": [{"name": subject} for subject in dict.fromkeys(_subject(route) for route in found)],
        "components": {
            "schemas": named,
            "responses": {_phrase(status): _problem(status, schema_of) for status in _problems()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An access token."},
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "__Host-larva",
                    "description": "A login; what changes something takes the header X-CSRFToken too.",
                },
            },
        },
    }  # fmt: skip


def name_of(schema: Mapping[str, Any]) -> str:
    """The name of the type that a schema refers to; empty for one that says itself what it is."""
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _types(found: Iterable[Route]) -> Iterator[Any]:
    yield Problem
    yield Page
    for route in found:
        operation = route.operation
        if operation.media_type == body.JSON:
            yield from (each for each in (operation.wish, operation.query, operation.answer) if each is not None)


def _operation(route: Route, schema_of: Mapping[Any, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    operation = route.operation
    words = inspect.getdoc(operation.view) or ""
    summary, _, rest = words.partition("\n")
    told: dict[str, Any] = {
        "operationId": route.name,
        "tags": [_subject(route)],
        "summary": summary,
        "description": "\n".join(filter(None, (rest.strip(), _who(operation.right)))),
        "parameters": [*_path(route), *_query(operation, schema_of, named), *_headers(operation)],
        "responses": {str(operation.status): _answer(operation, schema_of)}
        | _parts(operation)
        | {str(status): {"$ref": f"#/components/responses/{_phrase(status)}"} for status in refusals(route)},
        "security": [] if operation.right is Right.PUBLIC else [{"token": []}, {"session": []}],
        "x-larva-right": operation.right.value,
    }
    if operation.wish is not None:
        told["requestBody"] = {"required": True, "content": {body.JSON: {"schema": schema_of[operation.wish]}}}
    return told


def refusals(route: Route) -> tuple[int, ...]:
    """The statuses with which a route may refuse."""
    operation = route.operation
    public = operation.right is Right.PUBLIC
    found = {*_ALWAYS, *((403,) if public else _LOGIN), *((429,) if operation.first is not None else ())}
    if route.method != "GET":
        found |= {*_CHANGE}
    if operation.wish is not None:
        found |= {*_BODY}
    if operation.resource is not None and route.method != "GET":
        found.add(412)
    if operation.answer is Download:
        found.add(416)
    return tuple(sorted(found))


def _problems() -> tuple[int, ...]:
    return tuple(sorted({*_ALWAYS, *_LOGIN, *_BODY, *_CHANGE, 412, 416, 429}))


def _subject(route: Route) -> str:
    return route.name.partition(".")[0]


def _who(right: Right) -> str:
    if right is Right.PUBLIC:
        return "Without a login."
    roles = [role.value for role, rights in ALLOWED.items() if right in rights]
    return f"For the roles {', '.join(roles)}."


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "").replace("-", "")


def _problem(status: int, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    content = {problems.MEDIA_TYPE: {"schema": schema_of[Problem]}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _answer(operation: Operation, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase}
    if operation.answer is not None:
        schema = schema_of[operation.answer] if operation.media_type == body.JSON else {"type": "string"}
        told["content"] = {operation.media_type: {} if operation.answer is Download else {"schema": schema}}
    headers = {"Location": "Where it is."} if operation.located else {}
    if operation.resource is not None and operation.answer is not None:
        headers["ETag"] = "Its revision, for `If-Match`."
    if headers:
        told["headers"] = {
            name: {"description": words, "schema": {"type": "string"}} for name, words in headers.items()
        }
    return told


def _parts(operation: Operation) -> dict[str, Any]:
    """How a file is answered of which the caller wants a part, or has it already."""
    if operation.answer is not Download:
        return {}
    part = {"description": "The bytes that `Range` names.", "content": {operation.media_type: {}}}
    return {"206": part, "304": {"description": "The caller has it: `If-None-Match` names its ETag."}}


def _headers(operation: Operation) -> Iterator[dict[str, Any]]:
    asked = {}
    if operation.resource is not None and operation.method != "GET":
        asked[IF_MATCH] = "The ETag of what is to be changed: it is changed only while it is that."
    if operation.once:
        asked[idempotency.HEADER] = (
            "Asked again under the same key within a day, it is answered as before and not done twice."
        )
    if operation.answer is Download:
        asked["Range"] = "The bytes that are wanted, as `bytes=1048576-`; all without it."
    for name, words in asked.items():
        yield {"name": name, "in": "header", "required": False, "description": words, "schema": {"type": "string"}}


def _path(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name, "in": "path", "required": True, "schema": _PARTS[kind],
            **({"description": _WORDS[name]} if name in _WORDS else {}),
        }
        for name, kind in route.parts.items()
    ]  # fmt: skip


def _query(operation: Operation, schema_of: Mapping[Any, Any], named: Mapping[str, Any]) -> list[dict[str, Any]]:
    asked = [operation.query] if operation.query is not None else []
    if operation.listing is not None:
        asked.append(Page)
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": each}
        for kind in asked
        for schema in (_resolved(schema_of[kind], named),)
        for name, each in schema["properties"].items()
    ]


def _resolved(schema: Mapping[str, Any], named: Mapping[str, Any]) -> Mapping[str, Any]:
    name = name_of(schema)
    return cast("Mapping[str, Any]", named[name]) if name else schema
