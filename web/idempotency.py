"""A creation that is asked for again under the same key is answered as the first time, and not done twice.

After draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from flask import Response, request

from cladnet.etcd.store import Store
from cladnet.trust.kinds import signed_by_ca
from larva.errors import Conflict, InvalidInput, LarvaError

log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
KEYS = "larva/idempotency/"
KEPT_S = 24 * 3600
UNFINISHED_S = 120
"""After this a request that a console died over may be tried again."""
LONGEST_KEY = 255


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was answered: `larva/idempotency/{digest of user and key}`."""

    request: str
    """Digest of key and request: another one under the same key is a mistake. The key, which stands nowhere, keeps
    readers of etcd from guessing a password in the request by it."""
    status: int = 0
    """0: it is being done."""
    text: str = ""
    location: str = ""


def once(store: Store, user: str, do: Callable[[], Response], *, secret: bool) -> Response:
    """Do what this request asks for, unless that was done under its key; a refusal is no answer that is kept.

    Args:
        secret: the answer is shown once, and kept nowhere.

    Raises:
        InvalidInput: the key is no key, or was another request's.
        Conflict: the same is being done right now, or was, and is secret.
    """
    named = request.headers[HEADER]
    if not 1 <= len(named) <= LONGEST_KEY or not named.isprintable():
        raise InvalidInput(f"{HEADER} is not usable", hint=f"up to {LONGEST_KEY} characters, as of a UUID")
    place, asked = (
        KEYS + _digest(user, named),
        _digest(named, request.method, request.full_path, request.get_data().hex()),
    )
    lease = store.lease(UNFINISHED_S)
    try:
        store.create(place, Answered(request=asked), lease=lease)
    except Conflict:
        lease.revoke()
        return _again(store, place, asked, secret=secret)
    try:
        answer = do()
    except BaseException:
        lease.revoke()
        raise
    done = Answered(
        request=asked, status=answer.status_code, text="" if secret else answer.get_data(as_text=True),
        location=answer.headers.get("Location", ""),
    )  # fmt: skip
    try:
        store.put(place, done, lease=store.lease(KEPT_S))
        lease.revoke()
    except LarvaError as error:  # it is done, and the caller has to know
        log.warning("%s %r could not be kept for a second asking: %s", request.method, request.path, error)
    return answer


def _again(store: Store, place: str, asked: str, *, secret: bool) -> Response:
    found = store.get(place, Answered)
    if found is None or found.value.status == 0:
        raise Conflict("this is being done right now", hint="wait a moment, and ask again")
    if found.value.request != asked:
        raise InvalidInput(f"the {HEADER} was another request's", hint="take a new one")
    if secret:
        raise Conflict("this was done, and the secret in its answer is shown once", hint="ask anew with another key")
    answer = Response(found.value.text, found.value.status, mimetype="application/json")
    if found.value.location:
        answer.headers["Location"] = found.value.location
    return answer


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:40]
