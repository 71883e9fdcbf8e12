"""The REST API, `/v1/…`: JSON in and out, errors as problem documents, for sessions and access tokens alike."""

from flask import Blueprint

from web import sessions as browser_sessions
from web.api import (
    accounts,
    audit,
    cladnets,
    connections,
    enrolment_tokens,
    hosts,
    images,
    mirrors,
    osds,
    paths,
    sessions,
    shares,
    smb,
    snapshots,
    status,
    storage,
    trash,
    volumes,
)

PARTS = (
    cladnets, hosts, status, paths, storage, osds, volumes, trash, shares, snapshots, mirrors, connections, smb,
    enrolment_tokens, accounts, sessions, audit, images,
)  # fmt: skip

blueprint = Blueprint("api", __name__, url_prefix="/v1")
blueprint.before_request(browser_sessions.identify)
for part in PARTS:
    blueprint.register_blueprint(part.routes.blueprint)
