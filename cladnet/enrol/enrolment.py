"""Enrolment: a token buys a new host its client certificate, its name and its first CLADNet, in one transaction."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cladnet import curve25519, keys
from cladnet.enrol.authority import Authority, Certificate, key_digest, request_key
from cladnet.enrol.membership import require_active
from cladnet.etcd.store import Condition, Delete, Put, Store, Versioned
from cladnet.model import CladnetSpecification, ControlPlane, EnrolledHost, EnrolmentToken, Role
from larva.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable

SECRET_BYTES = 32
LONGEST_TTL_S = 30 * 86400.0
MOST_USES = 10_000
LONGEST_CONTROL_TTL_S = 86400.0
"""A token for a control node buys everything there is: it is to be used now, not some day."""
EXPIRED_KEPT = timedelta(days=1)
"""How long an expired token is kept, so that its bearer is told that it expired and not that it never was."""

MOST_EARLIER_SERIALS = 32
"""Of one host, beside its present one. All have to fit into its record, so that its removal revokes them."""

_ATTEMPTS = 20
"""Transactions that lost a race are tried again; many hosts may redeem one token in the same second."""
_SECRET = re.compile(r"[a-z2-7]{52}")


class TokenUnknown(Refused):
    """No such token: never made, used up, or revoked; which of them is not told."""

    code = "token-unknown"


class TokenExpired(Refused):
    """The token was good once."""

    code = "token-expired"


class RoleRefused(Refused):
    """The token does not allow a role that was asked for."""

    code = "role-refused"


class HostRefused(Refused):
    """The token is for another host."""

    code = "host-refused"


class HostTaken(Conflict):
    """Another machine is enrolled under the name."""

    code = "host-taken"


class TooManyCertificates(Refused):
    """The host's record names as many certificates as it can: a further one could push one out that is good still."""

    code = "too-many-certificates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What a host gets: `POST /v1/enrol` answers with it."""

    host: str
    group: str
    certificate_pem: str
    ca_pem: str
    etcd_endpoints: tuple[str, ...]
    servers: tuple[str, ...] = ()
    """Every console that answers for the system."""
    sealed: str = field(default="", repr=False)
    """For a control node: the authorities' keys, sealed to the key that it sent; base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """A token as it may be shown: `id` is the beginning of its digest and of no use for enrolling."""

    id: str
    group: str
    roles: tuple[Role, ...]
    expires_at: datetime
    uses_left: int
    expired: bool


def control_plane(store: Store) -> ControlPlane:
    """Return how hosts reach the control plane; NotFound before the system is founded."""
    found = store.get(keys.CONTROL_PLANE, ControlPlane)
    if found is None:
        raise NotFound("the control plane has not been founded yet", hint="wait for `larva boot` on the control node")
    return found.value


def create_token(store: Store, *, group: str, roles: Sequence[Role], ttl_s: float, uses: int) -> str:
    """Create a token and return its secret, which is kept nowhere.

    Args:
        group: id of the CLADNet that its bearers join.
        roles: what a bearer may take at most; never `control`.
        ttl_s: seconds for which it is good.
        uses: how many hosts it enrols.

    Raises:
        InvalidInput: a role, time or number out of bounds.
        NotFound: there is no such CLADNet.
    """
    if not roles:
        raise InvalidInput(
            "a token has to allow a role", hint=f"give some of: {Role.STORAGE}, {Role.MEMBER}, {Role.GATEWAY}"
        )
    if Role.CONTROL in roles:
        raise InvalidInput("such a token cannot allow the role control", hint="`larva control add` makes one that does")
    if not 1 <= ttl_s <= LONGEST_TTL_S:
        raise InvalidInput(f"a token cannot be good for {ttl_s:g} s", hint="from one second to 30 days")
    if not 1 <= uses <= MOST_USES:
        raise InvalidInput(f"a token cannot enrol {uses} hosts", hint=f"from 1 to {MOST_USES}")
    require_active(store, group)
    return _create(store, group=group, roles=roles, ttl_s=ttl_s, uses=uses, host="")


def create_control_token(store: Store, *, host: str, group: str, roles: Sequence[Role], ttl_s: float) -> str:
    """Create a token that makes one named host a control node, once, and return its secret, which is kept nowhere.

    Args:
        group: id of the CLADNet that it joins; empty for none.
        roles: what else it may be; `control` is always among them.
        ttl_s: seconds for which it is good.

    Raises:
        InvalidInput: a name or time out of bounds.
        Conflict: a host of that name is enrolled.
        NotFound: there is no such CLADNet.
    """
    keys.segment(host, what="host")
    if not 1 <= ttl_s <= LONGEST_CONTROL_TTL_S:
        raise InvalidInput(f"a control node's token cannot be good for {ttl_s:g} s", hint="from one second to a day")
    if store.exists(keys.enrolled_host(host)):
        raise HostTaken(f"the host name {host} is taken", hint="choose another, or remove the old one first")
    if group:
        require_active(store, group)
    return _create(store, group=group, roles=(Role.CONTROL, *roles), ttl_s=ttl_s, uses=1, host=host)


def _create(store: Store, *, group: str, roles: Sequence[Role], ttl_s: float, uses: int, host: str) -> str:
    now = datetime.now(UTC)
    _drop_expired(store, now)
    secret = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=").lower()
    token = EnrolmentToken(
        group=group,
        roles=tuple(dict.fromkeys(roles)),
        expires_at=now + timedelta(seconds=ttl_s),
        uses_left=uses,
        host=host,
    )
    store.create(keys.token(_digest(secret)), token)
    return secret


def token_of(store: Store, host: str) -> TokenView | None:
    """Return the token that a host was enrolled with if it would enrol further ones; None otherwise."""
    record = store.get(keys.enrolled_host(host), EnrolledHost)
    if record is None or not record.value.token_digest:
        return None
    found = store.get(keys.token(record.value.token_digest), EnrolmentToken)
    view = _token_view(found, datetime.now(UTC)) if found is not None else None
    return view if view is not None and view.uses_left and not view.expired else None


def _token_view(item: Versioned[EnrolmentToken], now: datetime) -> TokenView:
    return TokenView(
        id=keys.last_segment(item.key)[:12],
        group=item.value.group,
        roles=item.value.roles,
        expires_at=item.value.expires_at,
        uses_left=item.value.uses_left,
        expired=item.value.expires_at <= now,
    )


def tokens(store: Store) -> tuple[TokenView, ...]:
    """Return the tokens that can still be used, and those that expired lately."""
    now = datetime.now(UTC)
    return tuple(_token_view(item, now) for item in store.list(keys.TOKEN, EnrolmentToken).items)


def revoke_token(store: Store, token_id: str) -> None:
    """Make a token useless; hosts that it enrolled stay.

    Args:
        token_id: the beginning of its id, or its secret.

    Raises:
        NotFound: no token's id begins so; InvalidInput: several do.
    """
    beginning = keys.token(_digest(token_id)) if _SECRET.fullmatch(token_id) else keys.TOKEN + token_id
    found = [item.key for item in store.list(keys.TOKEN, EnrolmentToken).items if item.key.startswith(beginning)]
    if not token_id or not found:
        raise NotFound(f"there is no token {token_id!r}", hint="`larva enrol token list` shows them")
    if len(found) > 1:
        raise InvalidInput(f"{len(found)} tokens begin with {token_id!r}", hint="give more of the id")
    store.delete(found[0])


def redeem(
    store: Store,
    authority: Authority,
    *,
    secret: str,
    csr_pem: str,
    host: str,
    roles: Sequence[Role],
    admit: Callable[[str], None] | None = None,
    seal_key: str = "",
    hand_over: Callable[[str], str] | None = None,
) -> Enrolment:
    """Enrol a host: count the token's use and claim the host's name in one transaction, then hand out the certificate.

    A host that asks again with the same key and token, since it was stopped before it had the answer, gets a
    certificate anew; that is no second use, and neither an expired nor a used-up token hinders it.

    Args:
        secret: the token.
        csr_pem: PKCS#10 request that proves to hold the host's private key.
        admit: gives the host of a name its rights in etcd; without it the controller does, a moment later.
        seal_key: of a control node: the public key to which it wants its secrets sealed.
        hand_over: seals a control node's secrets to that key; without it none can be enrolled here.

    Raises:
        TokenUnknown, TokenExpired, RoleRefused, HostRefused, HostTaken, TooManyCertificates: see there.
        InvalidInput, MalformedData: the host name, the roles or the request are unusable.
        NotFound: the token's CLADNet does not exist any more.
    """
    keys.segment(host, what="host")
    if not roles:
        raise InvalidInput("no role is given", hint=f"give some of: {Role.STORAGE}, {Role.MEMBER}, {Role.GATEWAY}")
    if Role.CONTROL in roles:
        if hand_over is None or not seal_key:
            raise InvalidInput("a control node sends a key to seal its secrets to", hint="enrol it by `larva boot`")
        curve25519.raw(seal_key)  # before the token's only use is spent
    digest = _digest(secret)
    holder = key_digest(request_key(csr_pem))
    for _ in range(_ATTEMPTS):
        enrolled = store.get(keys.enrolled_host(host), EnrolledHost)
        if enrolled is not None and _is_same(enrolled.value, holder=holder, token_digest=digest):
            certificate = authority.sign_client(csr_pem, host)
            done = issue_again(store, enrolled, certificate, roles)
            group = enrolled.value.groups[0] if enrolled.value.groups else ""
        else:
            token = _usable_token(store, digest, host, roles)
            group = token.value.group
            network = require_active(store, group) if group else None
            if enrolled is not None:
                raise HostTaken(
                    f"the host name {host} is taken",
                    hint="choose another name (`host` in join.toml), or remove the old one: `larva enrol remove`",
                )
            certificate = authority.sign_client(csr_pem, host)
            done = _enrol(store, token, network, _new_host(host, group, roles, certificate, digest))
        if done:
            if admit is not None:
                admit(host)
            plane = control_plane(store)
            # Only who bought the role, or holds key and token of who did, comes here with it.
            sealed = hand_over(seal_key) if Role.CONTROL in roles and hand_over is not None else ""
            return Enrolment(
                host=host,
                group=group,
                certificate_pem=certificate.pem,
                ca_pem=authority.certificate_pem,
                etcd_endpoints=plane.etcd_endpoints,
                servers=plane.servers,
                sealed=sealed,
            )
    raise Unavailable("too many hosts are enrolling at once", hint="try again in a moment")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _is_same(enrolled: EnrolledHost, *, holder: str, token_digest: str) -> bool:
    same_key = hmac.compare_digest(enrolled.key_digest, holder)
    return hmac.compare_digest(enrolled.token_digest, token_digest) and same_key


def _usable_token(store: Store, digest: str, host: str, roles: Sequence[Role]) -> Versioned[EnrolmentToken]:
    # The look-up is by a digest of 256 random bits: its timing tells nothing about a secret.
    token = store.get(keys.token(digest), EnrolmentToken)
    if token is None or token.value.uses_left < 1:
        raise TokenUnknown(
            "the token is not known", hint="it was used up, revoked, or mistyped; `larva enrol token create` makes one"
        )
    if token.value.expires_at <= datetime.now(UTC):
        raise TokenExpired(
            f"the token expired at {token.value.expires_at.isoformat(timespec='seconds')}",
            hint="make a new one with `larva enrol token create`",
        )
    refused = [role for role in roles if role not in token.value.roles]
    if refused:
        raise RoleRefused(
            f"the token does not allow the role {', '.join(refused)}",
            hint=f"it allows: {', '.join(token.value.roles)}",
        )
    if token.value.host not in ("", host):
        raise HostRefused(
            "the token is for another host",
            hint="keep the name that `larva control add` wrote into join.toml, or make a token for this one",
        )
    return token


def _new_host(host: str, group: str, roles: Sequence[Role], certificate: Certificate, digest: str) -> EnrolledHost:
    return EnrolledHost(
        host=host,
        groups=(group,) if group else (),
        roles=tuple(dict.fromkeys(roles)),
        certificate_serial=certificate.serial,
        enrolled_at=datetime.now(UTC),
        key_digest=certificate.key_digest,
        token_digest=digest,
        user=certificate.user,
    )


def _enrol(
    store: Store,
    token: Versioned[EnrolmentToken],
    network: Versioned[CladnetSpecification] | None,
    host: EnrolledHost,
) -> bool:
    left = replace(token.value, uses_left=token.value.uses_left - 1)
    return store.transact(
        [
            Condition(token.key, token.revision),
            *([Condition(network.key, network.revision)] if network is not None else []),
            Condition(keys.enrolled_host(host.host), 0),
        ],
        [Put(token.key, left) if left.uses_left else Delete(token.key), Put(keys.enrolled_host(host.host), host)],
    )


def issue_again(
    store: Store, enrolled: Versioned[EnrolledHost], certificate: Certificate, roles: Sequence[Role]
) -> bool:
    """Put a further certificate into a host's record; False if somebody else changed that meanwhile.

    Raises:
        RoleRefused: the host was not enrolled with one of the roles.
        TooManyCertificates: the record is full.
    """
    if len(enrolled.value.earlier_serials) >= MOST_EARLIER_SERIALS:
        raise TooManyCertificates(
            f"{enrolled.value.host} was given {MOST_EARLIER_SERIALS + 1} certificates already",
            hint=f"`larva enrol remove {enrolled.value.host}`, which revokes them all, then enrol it with a new token",
        )
    refused = [role for role in roles if role not in enrolled.value.roles]
    if refused:
        raise RoleRefused(
            f"{enrolled.value.host} was not enrolled with the role {', '.join(refused)}",
            hint=f"it has: {', '.join(enrolled.value.roles)}; remove it and enrol it anew to change that",
        )
    before = (enrolled.value.certificate_serial, *enrolled.value.earlier_serials)
    renewed = replace(
        enrolled.value,
        certificate_serial=certificate.serial,
        earlier_serials=before,
        user=certificate.user,
    )
    return store.transact([Condition(enrolled.key, enrolled.revision)], [Put(enrolled.key, renewed)])


def _drop_expired(store: Store, now: datetime) -> None:
    for item in store.list(keys.TOKEN, EnrolmentToken).items:
        if item.value.expires_at + EXPIRED_KEPT < now:
            store.delete(item.key)
