"""The old service's paths; each view reads its message, asks our rooms and answers with theirs."""

import secrets
from collections.abc import Callable
from ipaddress import IPv4Network, collapse_addresses

from flask import Blueprint, Flask, Response, g, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from cbstorage import keys as storage_keys
from cladnet import cidr, encryption, keys, model, network_hosts, networks, status_tests
from cladnet.free_ranges import prefix_for, read_ranges
from cladnet.model import CladnetState, Command, Encryption, HostNetworkInformation, RuleType
from larva.errors import Conflict, InvalidInput, NotFound
from web import problems, recording, sessions
from web.accounts import NotAuthenticated
from web.cbnetwork import messages, protojson, status, translation
from web.cbnetwork.translation import CommandType, TestType
from web.context import console, store
from web.roles import Right

COMMANDS = "/v1/control/"
PREFIXES = ("/v1/cladnet", "/v1/control/cladnet", "/v1/test/cladnet", "/health")
_Guard = Callable[[], ResponseReturnValue | None]


def require_token() -> None:
    """Let only programs with an access token pass; what is of no single CLADNet tells of all, and is not for tenants.

    Not a browser's session: one of these paths changes things by GET, to which a foreign page can lead any browser.
    """
    if request.authorization is None:
        raise NotAuthenticated("an access token is needed", hint="send `Authorization: Bearer TOKEN`")
    sessions.require_user()
    if "cladnet" not in (request.view_args or {}):
        g.caller.require(Right.READ)
    if request.path.startswith(COMMANDS):  # which it gives by GET
        g.caller.require(Right.OPERATE)
        recording.begin(console().store(), g.caller.name)


def register(app: Flask, *, guard: _Guard = require_token, alone: bool = False) -> None:
    """Add the paths to an application.

    Args:
        guard: raises for who may not pass.
        alone: the application has nothing else, so every error is told in the old service's words.
    """
    blueprint = Blueprint("cb_network", __name__)
    blueprint.before_request(guard)
    blueprint.register_error_handler(Exception, status.answer)
    for method, rule, view in ROUTES:
        blueprint.add_url_rule(rule, view.__name__, view, methods=[method], provide_automatic_options=False)
    app.register_blueprint(blueprint)
    if alone:
        app.register_error_handler(Exception, status.answer)
        return
    for code in (404, 405):  # which happen before any blueprint is known
        app.register_error_handler(code, _not_routed)


def speaks_theirs(path: str) -> bool:
    """Whether a path is one of the old service's, or would be."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in PREFIXES)


def _not_routed(error: Exception) -> Response:
    return status.answer(error) if speaks_theirs(request.path) else problems.answer(error)


def _answer(message: object) -> Response:
    return Response(protojson.write(message), mimetype="application/json")


def _find(cladnet: str) -> model.CladnetSpecification:
    """The CLADNet of this id or name; one that is being deleted is gone for the old service's clients."""
    found = networks.find(store(), cladnet)
    if found.state == CladnetState.DELETING:
        raise NotFound(f"CLADNet {cladnet!r} is being deleted")
    return found


def health() -> Response:
    """Whether the service works, which it does while etcd answers."""
    store().exists(keys.CONTROL_PLANE)
    return Response(b'"healthy"\n', mimetype="application/json")


def cladnet_list() -> Response:
    """Every CLADNet; none at all is not found, as it was there."""
    active = [each for each in networks.list_all(store()) if each.state == CladnetState.ACTIVE]
    if not active:
        raise NotFound("there is no CLADNet")
    return _answer(messages.CladnetSpecifications(cladnet_specifications=tuple(map(translation.specification, active))))


def create_cladnet() -> Response:
    """Create one, with the id that the caller gives it; without a range it gets a free one."""
    wish = protojson.read(request.get_data(), messages.CladnetSpecification)
    if wish.cladnet_id:
        _check_free_of_history(wish.cladnet_id)
    made = networks.create(
        store(),
        name=wish.name or wish.cladnet_id or f"cladnet-{secrets.token_hex(4)}",
        group=wish.cladnet_id or None,
        cidr=translation.address_space(wish.ipv4_address_space),
        description=wish.description,
        rule_type=translation.rule_type(wish.rule_type) or RuleType.BASIC,
    )
    return _answer(translation.specification(made))


def _check_free_of_history(group: str) -> None:
    """An id that is given, not made, may have been another CLADNet's, of which something is left."""
    if any(each.id == group and each.state == CladnetState.DELETING for each in networks.list_all(store())):
        raise Conflict(f"CLADNet {group!r} is still being deleted", hint="try again in a moment")
    if store().exists(storage_keys.cluster(group)):
        raise Conflict(f"the storage of an earlier CLADNet {group!r} is still there", hint="choose another id")


def get_cladnet(cladnet: str) -> Response:
    """One CLADNet."""
    return _answer(translation.specification(_find(cladnet)))


def update_cladnet(cladnet: str) -> Response:
    """Change a CLADNet; what is empty stays, and the range only grows."""
    wish = protojson.read(request.get_data(), messages.CladnetSpecification)
    changed = networks.update(
        store(),
        _find(cladnet).id,
        name=wish.name or None,
        description=wish.description or None,
        rule_type=translation.rule_type(wish.rule_type),
        cidr=translation.address_space(wish.ipv4_address_space),
    )
    return _answer(translation.specification(changed))


def delete_cladnet(cladnet: str) -> Response:
    """Delete one; what the old service only announced."""
    found = _find(cladnet)
    networks.delete(store(), found.id)
    return _answer(
        messages.DeletionResult(
            is_succeeded=True,
            message="The CLADNet is being emptied and deleted.",
            cladnet_specification=translation.specification(found),
        )
    )


def available_address_spaces() -> Response:
    """Free private ranges beside the networks that the caller names, and beside everything we know of."""
    wish = protojson.read(request.get_data(), messages.Ipv4Cidrs)
    if len(wish.ipv4_cidrs) > translation.MOST_CIDRS:
        raise InvalidInput(f"{len(wish.ipv4_cidrs)} networks are too many", hint=f"{translation.MOST_CIDRS} at most")
    named = [translation.network(text) for text in wish.ipv4_cidrs]
    in_use = read_ranges(store(), networks.list_all(store()))
    taken: list[IPv4Network] = list(collapse_addresses([*named, *in_use.all()]))
    recommended = cidr.recommend(taken, prefix=prefix_for(max(1, len(named))))
    return _answer(translation.available(recommended, taken))


def peer_list(cladnet: str) -> Response:
    """The hosts of a CLADNet; none at all is not found, as it was there."""
    peers = _peers(_find(cladnet))
    if not peers:
        raise NotFound(f"CLADNet {cladnet!r} has no peer")
    return _answer(messages.Peers(peers=tuple(peers.values())))


def get_peer(cladnet: str, host: str) -> Response:
    """One host."""
    return _answer(_peer(_find(cladnet), host))


def update_details_of_peer(cladnet: str, host: str) -> Response:
    """Say where a host runs; instead of what the host found out itself."""
    found = _find(cladnet)
    wish = protojson.read(request.get_data(), messages.UpdateDetailsRequest)
    told = translation.facts(wish.cloud_information or messages.CloudInformation())
    _peer(found, host)
    network_hosts.override_cloud(store(), found.id, host, told)
    return _answer(_peer(found, host))


def _peers(found: model.CladnetSpecification) -> dict[str, messages.Peer]:
    informations = store().children(keys.hosts_of(found.id), HostNetworkInformation)
    told = {host: information.value for host, information in informations.items()}
    views = network_hosts.views(store(), found.id)
    return {view.host: translation.peer(found, view, told.get(view.host)) for view in views}


def _peer(found: model.CladnetSpecification, host: str) -> messages.Peer:
    peer = _peers(found).get(host)
    if peer is None:
        raise NotFound(f"CLADNet {found.id!r} has no peer {host!r}")
    return peer


def networking_rule(cladnet: str, host: str) -> Response:
    """How a host reaches the others, computed as its agent does."""
    found = _find(cladnet)
    rules = {
        name: rule.value
        for name, rule in store().children(keys.rules_of(found.id), model.NetworkingRule).items()
        if rule.value.host == name
    }
    if host not in rules:
        raise NotFound(f"CLADNet {found.id!r} has no rule of peer {host!r}")
    return _answer(translation.networking_rule(found, host, rules))


def control(cladnet: str, command: str) -> Response:
    """Take every host's interface up or down, or have their packets encrypted or not."""
    if request.method != "GET":  # werkzeug lets HEAD in wherever GET may come, but this changes things
        raise MethodNotAllowed(valid_methods=["GET"])
    wanted = translation.enumerator(command, CommandType, "commandType")
    found = _find(cladnet)
    if wanted in translation.ENCRYPTION:
        return _encrypt(found, translation.ENCRYPTION[wanted])
    network_hosts.control(store(), found.id, None, Command.UP if wanted == CommandType.UP else Command.DOWN)
    return _answer(messages.Outcome(is_succeeded=True, message="The command was handed to every peer."))


def _encrypt(found: model.CladnetSpecification, wanted: Encryption) -> Response:
    if not encryption.kinds(found.datapath, wanted):
        raise status.NotPossibleNow(
            f"CLADNet {found.id!r} has the data path {found.datapath}, with which encryption is never {wanted}",
            hint=f"larva net update {found.name} --datapath auto",
        )
    networks.update(store(), found.id, encryption=wanted)
    told = "" if wanted == Encryption.ON else f" {encryption.WARNING}."
    return _answer(
        messages.Outcome(is_succeeded=True, message=f"Encryption is {wanted}; every peer changes over.{told}")
    )


def connectivity_test(cladnet: str, kind: str) -> Response:
    """Ask every host to measure the latency to every other."""
    translation.enumerator(kind, TestType, "testType")
    wish = protojson.read(request.get_data(), messages.TestRequest)
    status_tests.request(store(), _find(cladnet).id, trials=translation.trials(wish.test_spec))
    return _answer(messages.Outcome(is_succeeded=True, message="The test was handed to every peer."))


ROUTES: tuple[tuple[str, str, Callable[..., Response]], ...] = (
    ("GET", "/health", health),
    ("GET", "/v1/cladnet", cladnet_list),
    ("POST", "/v1/cladnet", create_cladnet),
    ("POST", "/v1/cladnet/availableIPv4AddressSpaces", available_address_spaces),
    ("GET", "/v1/cladnet/<cladnet>", get_cladnet),
    ("PUT", "/v1/cladnet/<cladnet>", update_cladnet),
    ("DELETE", "/v1/cladnet/<cladnet>", delete_cladnet),
    ("GET", "/v1/cladnet/<cladnet>/peer", peer_list),
    ("GET", "/v1/cladnet/<cladnet>/peer/<host>", get_peer),
    ("PUT", "/v1/cladnet/<cladnet>/peer/<host>/details", update_details_of_peer),
    ("GET", "/v1/cladnet/<cladnet>/peer/<host>/networkingRule", networking_rule),
    ("GET", "/v1/control/cladnet/<cladnet>/command/<command>", control),
    ("POST", "/v1/test/cladnet/<cladnet>/type/<kind>", connectivity_test),
)
"""Method, path and view."""
