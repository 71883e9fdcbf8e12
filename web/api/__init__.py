"""The REST API, `/v1/…`: JSON in and out, errors as problem documents, for sessions and access tokens alike."""

from flask import Blueprint

from web import sessions
from web.api import cladnets, enrolment_tokens, mirrors, paths, shares, snapshots, status, storage, volumes

blueprint = Blueprint("api", __name__, url_prefix="/v1")
blueprint.before_request(sessions.require_user)
for part in (cladnets, status, paths, storage, volumes, shares, snapshots, mirrors, enrolment_tokens):
    blueprint.register_blueprint(part.blueprint)
