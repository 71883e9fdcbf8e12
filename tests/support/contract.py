"""A client that holds every answer of the API to its own description."""

import re
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

from web import openapi, problems


class Contract:
    """The OpenAPI document of an application, as its answers have to be.

    Stricter than the document: an answer has every member that its type has, and no other.
    """

    def __init__(self, app: Flask) -> None:
        self.routes = openapi.routes(app)
        self.document = openapi.document(app)
        self._components = _strict(self.document["components"])
        self._paths = [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", route.path)), route) for route in self.routes]
        self.held: set[str] = set()
        """The routes of which an answer was seen that is no refusal."""

    def check(self, method: str, path: str, answer: TestResponse) -> None:
        """Raise AssertionError for an answer that is not described; paths that are no route's are left alone."""
        for pattern, route in self._paths:
            if pattern.fullmatch(path.partition("?")[0]) and route.method == method:
                break
        else:
            return
        told = self.document["paths"][route.path][method.lower()]["responses"]
        assert str(answer.status_code) in told, f"{method} {path} answered {answer.status}: {answer.text[:300]}"
        if answer.status_code < 400:
            self.held.add(f"{method} {route.path}")
        described = self._resolved(told[str(answer.status_code)])
        if "content" not in described:
            assert answer.data == b""
            return
        ((media_type, content),) = described["content"].items()
        assert answer.mimetype == media_type
        if media_type in ("application/json", problems.MEDIA_TYPE):
            schema = {**_strict(content["schema"]), "components": self._components}
            Draft202012Validator(schema).validate(answer.json)

    def _resolved(self, described: dict[str, Any]) -> dict[str, Any]:
        reference = described.get("$ref")
        if reference is None:
            return described
        found: dict[str, Any] = self.document["components"]["responses"][reference.rpartition("/")[2]]
        return found


def _strict(schema: Any) -> Any:
    if isinstance(schema, dict):
        found = {name: _strict(value) for name, value in schema.items()}
        if schema.get("type") == "object" and "properties" in schema:
            found |= {"additionalProperties": False, "required": list(schema["properties"])}
        return found
    return [_strict(each) for each in schema] if isinstance(schema, list) else schema


def checked_client(app: Flask) -> type[FlaskClient]:
    """Return the kind of client that an application's tests use from now on, with its Contract as `contract`."""

    class Checked(FlaskClient):
        contract = Contract(app)

        def open(self, *args: Any, **options: Any) -> TestResponse:
            answer = super().open(*args, **options)
            self.contract.check(answer.request.method, answer.request.path, answer)
            return answer

    return Checked
