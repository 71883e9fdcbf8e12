"""A page and the data its scripts keep current, under one address."""

from flask import Response, make_response, render_template, request

from larva import codec
from web import body


def page(template: str, data: object, **context: object) -> Response:
    """Return the page, rendered with its data; its scripts ask for JSON and get the data alone."""
    if request.accept_mimetypes.best == "application/json":
        response = body.answer(data)
    else:
        response = make_response(render_template(template, data=codec.to_builtins(data), **context))
    response.vary.add("Accept")
    return response
