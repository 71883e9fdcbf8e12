"""The old cb-network service's API, over a real etcd and controller: its published description, and its best client.

Tried: every path and method of the description, well and badly asked; CB-Tumblebug v0.8.5's requests in their order;
both listeners of a running console; browsers at the one without a login.
"""

import base64
import contextlib
import http.client
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cbstorage import keys as storage_keys
from cladnet import keys, networks
from cladnet.control.controller import Controller
from cladnet.enrol.authority import Authority, key_pem, new_key
from cladnet.etcd.store import Store
from cladnet.model import (
    CladnetState,
    CloudFacts,
    Command,
    ControlCommand,
    DatapathKind,
    Encryption,
    HostNetworkInformation,
    NetworkingRule,
    NetworkInterface,
    RuleType,
    TestSpecification,
)
from larva import ports
from web import access_tokens, accounts
from web.app import create_app
from web.cbnetwork.local import create_local_app
from web.roles import AccountRole

CONTRACT = json.loads((Path(__file__).parents[1] / "contracts/cb-network.json").read_text())
CALLS = [(method.upper(), path) for path, methods in CONTRACT["paths"].items() for method in methods]
PASSWORD = "correct-horse-battery"
RESTY = {
    "Content-Type": "application/json", "Accept": "application/json",
    "User-Agent": "go-resty/2.7.0 (https://github.com/go-resty/resty)",
}  # fmt: skip
"""What CB-Tumblebug's HTTP client sends."""


def conforms(value: object, schema: dict[str, Any], where: str = "$") -> None:
    """Check a value against the part of Swagger 2.0's schemas that the description uses; every property is there."""
    if "$ref" in schema:
        schema = CONTRACT["definitions"][schema["$ref"].rsplit("/", 1)[1]]
    kinds = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict}
    assert type(value) is kinds[schema["type"]], f"{where}: {value!r} is no {schema['type']}"
    if isinstance(value, list):
        for number, each in enumerate(value):
            conforms(each, schema["items"], f"{where}[{number}]")
    if isinstance(value, dict):
        assert value.keys() == schema["properties"].keys(), where
        for name, each in value.items():
            conforms(each, schema["properties"][name], f"{where}.{name}")


def checked(answer: TestResponse, method: str, path: str) -> Any:
    """The answer's JSON, which is as the description of this path says."""
    assert answer.mimetype == "application/json"
    responses = CONTRACT["paths"][path][method.lower()]["responses"]
    conforms(answer.json, responses.get(str(answer.status_code), responses["default"])["schema"])
    return answer.json


def assert_status(answer: TestResponse, status: int, code: int, said: str = "") -> None:
    """An error in the old service's shape."""
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.text
    conforms(answer.json, {"$ref": "#/definitions/rpcStatus"})
    assert said in answer.json["message"]


@pytest.fixture
def app(console_etcd: str, console_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The console."""
    monkeypatch.setenv("LARVA_CONFIG", str(tmp_path))
    app = create_app(lambda: Store([console_etcd]), state_directory=tmp_path, secure=False)
    yield app
    app.extensions["larva"].close()


@pytest.fixture
def old(app: Flask) -> FlaskClient:
    """A client of the loopback listener."""
    return create_local_app(app.extensions["larva"]).test_client(use_cookies=False)


class Site:
    """Hosts as they announce themselves, and a controller that looks when it is told to."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.controller = Controller(store)

    def join(self, group: str, host: str, number: int) -> None:
        information = HostNetworkInformation(
            host=host, public_address=IPv4Address(f"203.0.113.{number}"),
            interfaces=(
                NetworkInterface(name="eth0", mtu=1500, addresses=(IPv4Interface(f"172.20.{number}.4/24"),)),
            ),
            listen_port=51820, public_key=base64.b64encode(host.encode().ljust(32)).decode(), seal_key="",
        )  # fmt: skip
        self.store.put(keys.host_information(group, host), information)
        self.store.put(keys.presence(group, host), host)
        self.controller.reconcile()

    def rule(self, group: str, host: str) -> NetworkingRule:
        self.controller.reconcile()
        found = self.store.get(keys.rule(group, host), NetworkingRule)
        assert found is not None
        return found.value


@pytest.fixture
def site(console_store: Store) -> Site:
    return Site(console_store)


@pytest.fixture
def shop(console_store: Store, site: Site) -> str:
    """A CLADNet with two hosts."""
    group = networks.create(console_store, name="shop", group="shop", cidr="10.77.0.0/24").id
    site.join(group, "a", 11)
    site.join(group, "b", 12)
    return group


BODIES: dict[tuple[str, str], object] = {
    ("POST", "/v1/cladnet"): {"cladnetId": "new", "name": "new", "ipv4AddressSpace": "10.78.0.0/24"},
    ("POST", "/v1/cladnet/availableIPv4AddressSpaces"): {"ipv4Cidrs": ["10.10.5.2/16"]},
    ("PUT", "/v1/cladnet/{cladnetId}"): {"description": "changed"},
    ("PUT", "/v1/cladnet/{cladnetId}/peer/{hostId}/details"): {"cloudInformation": {"providerName": "AWS"}},
    ("POST", "/v1/test/cladnet/{cladnetId}/type/{testType}"): {"testSpec": '{"cladnetID":"shop","trialCount":5}'},
}


def filled(path: str, cladnet: str = "shop", host: str = "a") -> str:
    return path.format(cladnetId=cladnet, hostId=host, commandType="DOWN", testType="CONNECTIVITY")


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_path_of_the_description_is_answered_as_it_says(
    old: FlaskClient, shop: str, method: str, path: str
) -> None:
    answer = old.open(filled(path), method=method, json=BODIES.get((method, path)))
    assert answer.status_code == 200, answer.text
    checked(answer, method, path)


def test_with_the_consoles_port_only_an_access_token_opens_them(app: Flask, console_store: Store, shop: str) -> None:
    accounts.create(console_store, "admin", PASSWORD, AccountRole.ADMIN)
    nobody, browser, program = app.test_client(), app.test_client(), app.test_client()
    token = re.search(r'name="csrf-token" content="([^"]+)"', browser.get("/login").text)
    assert token
    form = {"user": "admin", "password": PASSWORD, "csrf_token": token[1]}
    assert browser.post("/login", data=form).status_code == 303
    bearer = {"Authorization": f"Bearer {access_tokens.create(console_store, 'admin', 'tests')}"}
    for method, path in sorted(CALLS, key=lambda call: call[0] == "DELETE"):
        body = BODIES.get((method, path))
        for client, headers in ((nobody, {}), (browser, {}), (nobody, {"Authorization": "Bearer wrong"})):
            refused = client.open(filled(path), method=method, json=body, headers=headers)
            assert_status(refused, 401, 16)
            assert refused.headers["WWW-Authenticate"] == "Bearer"
        answer = program.open(filled(path), method=method, json=body, headers=bearer)
        assert answer.status_code == 200
        checked(answer, method, path)


@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if "{" in call[1]])
def test_who_is_not_there_is_not_found(old: FlaskClient, shop: str, method: str, path: str) -> None:
    body = BODIES.get((method, path))
    for cladnet in ("nobody", "..%2F..", "Shop", "%00"):
        assert_status(old.open(filled(path, cladnet), method=method, json=body), 404, 5)
    if "{hostId}" in path:
        for host in ("nobody", "..", "A", "%ff"):
            assert_status(old.open(filled(path, host=host), method=method, json=body), 404, 5)


def test_nothing_at_all_is_not_found_as_it_was_there(old: FlaskClient, console_store: Store) -> None:
    assert_status(old.get("/v1/cladnet"), 404, 5)
    networks.create(console_store, name="empty", group="empty")
    assert_status(old.get("/v1/cladnet/empty/peer"), 404, 5)


RUBBISH = ["{", "[]", '"x"', "7", "null", '{"name": 7}', '{"cladnetId": ["a"]}', "\xff", '{"ipv4Cidrs": "10.0.0.0/8"}']
RUBBISH += ['{"ipv4Cidrs": [7]}', '{"cloudInformation": []}', '{"cloudInformation": {"subnetId": true}}', "[" * 100_00]
RUBBISH += [
    '{"testSpec": {}}',
    '{"testSpec": "["}',
    '{"testSpec": "{\\"trialCount\\": 0}"}',
    '{"name": "a", "Name": "b"}',
]


@pytest.mark.parametrize(("method", "path"), list(BODIES))
def test_a_body_of_nonsense_is_never_our_fault(old: FlaskClient, shop: str, method: str, path: str) -> None:
    refused = 0
    for rubbish in RUBBISH:
        answer = old.open(filled(path), method=method, data=rubbish.encode("latin-1"))
        checked(answer, method, path)
        if answer.status_code != 200:  # a field that this message does not have is ignored
            assert_status(answer, 400, 3)
            refused += 1
    assert refused >= 7  # those that are no object, and what its own fields cannot be


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({"name": "x", "ipv4AddressSpace": "10.300.0.0/24"}, 400, 3, "10.300.0.0/24"),
        ({"name": "x", "ipv4AddressSpace": "10.0.0.0"}, 400, 3, "no prefix length"),
        ({"name": "x", "ipv4AddressSpace": "8.8.8.0/24"}, 400, 3, "not private"),
        ({"name": "x", "ipv4AddressSpace": "10.77.0.128/25"}, 409, 6, "overlaps 10.77.0.0/24"),
        ({"name": "x", "ipv4AddressSpace": "172.20.11.0/26"}, 409, 6, "host 'a'"),
        ({"cladnetId": "shop", "name": "x"}, 409, 6, "'shop' exists"),
        ({"cladnetId": "x", "name": "shop"}, 409, 6, "'shop' exists"),
        ({"cladnetId": "../x", "name": "x"}, 400, 3, "../x"),
        ({"name": "Our Network!"}, 400, 3, "Our Network!"),
        ({"name": "x", "ruleType": "fastest"}, 400, 3, "fastest"),
        ({"name": "x", "description": "x" * 70_000}, 400, 3, ""),
    ],
)
def test_what_cannot_be_created_says_why(
    old: FlaskClient, console_store: Store, shop: str, body: object, status: int, code: int, said: str
) -> None:
    assert_status(old.post("/v1/cladnet", json=body), status, code, said)
    assert [each.id for each in networks.list_all(console_store)] == ["shop"]


def test_a_cladnet_may_leave_everything_to_us(old: FlaskClient, console_store: Store) -> None:
    made = checked(old.post("/v1/cladnet"), "POST", "/v1/cladnet")
    found = networks.find(console_store, made["cladnetId"])
    assert (str(found.cidr), str(found.rule_type)) == (made["ipv4AddressSpace"], "basic")
    other = old.post("/v1/cladnet", json={"name": "b", "ipv4_address_space": "10.10.5.2/16", "new_in_v9": 1}).json
    assert (other["ipv4AddressSpace"], other["name"]) == ("10.10.0.0/16", "b")


def test_the_life_of_a_cladnet(old: FlaskClient, console_store: Store, shop: str) -> None:
    (listed,) = checked(old.get("/v1/cladnet"), "GET", "/v1/cladnet")["cladnetSpecifications"]
    assert listed == {
        "cladnetId": "shop", "name": "shop", "ipv4AddressSpace": "10.77.0.0/24", "description": "",
        "ruleType": "cost-prioritized",
    }  # fmt: skip
    changed = {**listed, "ruleType": "basic", "ipv4AddressSpace": "10.77.0.0/23", "cladnetId": "ignored"}
    assert old.put("/v1/cladnet/shop", json=changed).json == {**changed, "cladnetId": "shop"}
    assert_status(old.put("/v1/cladnet/shop", json={"ipv4AddressSpace": "10.90.0.0/24"}), 400, 3, "only grow")
    assert old.get("/v1/cladnet/shop").json["ipv4AddressSpace"] == "10.77.0.0/23"
    gone = old.delete("/v1/cladnet/shop").json
    assert (gone["isSucceeded"], gone["cladnetSpecification"]["cladnetId"]) == (True, "shop")
    assert_status(old.get("/v1/cladnet/shop"), 404, 5)
    assert_status(old.delete("/v1/cladnet/shop"), 404, 5)
    assert_status(old.get("/v1/cladnet"), 404, 5)
    assert networks.find(console_store, "shop").state == CladnetState.DELETING
    assert_status(old.post("/v1/cladnet", json={"cladnetId": "shop"}), 409, 6, "still being deleted")
    Controller(console_store).reconcile()
    assert networks.list_all(console_store) == ()
    console_store.put(storage_keys.cluster("shop"), "left of it")
    assert_status(old.post("/v1/cladnet", json={"cladnetId": "shop"}), 409, 6, "storage of an earlier CLADNet")
    console_store.delete(storage_keys.cluster("shop"))
    assert old.post("/v1/cladnet", json={"cladnetId": "shop"}).json["cladnetId"] == "shop"


def test_commands_and_tests_reach_every_host(old: FlaskClient, console_store: Store, site: Site, shop: str) -> None:
    def commands() -> list[Command]:
        return [each.value.command for each in console_store.list(keys.commands_of(shop), ControlCommand).items]

    for word, command, state in (("DOWN", Command.DOWN, "released"), ("0", Command.UP, "tunneling")):
        assert old.get(f"/v1/control/cladnet/shop/command/{word}").json["isSucceeded"] is True
        assert commands() == [command, command]
        site.controller.reconcile()
        assert [peer["state"] for peer in old.get("/v1/cladnet/shop/peer").json["peers"]] == [state, state]
    for word in ("SIDEWAYS", "4", "-1", "up", "%20"):
        assert_status(old.get(f"/v1/control/cladnet/shop/command/{word}"), 400, 3, "UP, DOWN")
    for word, encrypted in (("DISABLE_ENCRYPTION", Encryption.OFF), ("2", Encryption.ON)):
        assert old.get(f"/v1/control/cladnet/shop/command/{word}").json["isSucceeded"] is True
        assert networks.find(console_store, shop).encryption == encrypted
    networks.update(console_store, shop, datapath=DatapathKind.WIREGUARD)
    refused = old.get("/v1/control/cladnet/shop/command/DISABLE_ENCRYPTION")
    assert_status(refused, 400, 9, "with which encryption is never off")
    assert networks.find(console_store, shop).encryption == Encryption.ON
    assert commands() == [Command.UP, Command.UP]
    head = old.head("/v1/control/cladnet/shop/command/DOWN")
    assert head.status_code == 501
    assert commands() == [Command.UP, Command.UP]

    for spec, trials in (("", 1), ("string", 1), ('{"cladnetID":"shop","trialCount":10}', 10), ("{}", 1)):
        body = {"testSpec": spec}
        assert old.post("/v1/test/cladnet/shop/type/CONNECTIVITY", json=body).json["isSucceeded"] is True
        asked = console_store.get(keys.test_specification(shop), TestSpecification)
        assert asked is not None
        assert asked.value.trials == trials
    for spec in ('{"trialCount": 101}', '{"trialCount": "3"}', '{"trialCount": true}', '{"trialCount": 1e999}', "7"):
        refused = old.post("/v1/test/cladnet/shop/type/0", json={"testSpec": spec})
        assert_status(refused, 400, 3)
    assert_status(old.post("/v1/test/cladnet/shop/type/SPEED"), 400, 3, "SPEED")


def test_ranges_that_are_recommended_are_free(old: FlaskClient, shop: str) -> None:
    """The original recommended 192.168.0.0/29 here, which overlaps the first of them."""
    named = ["192.168.0.0/24", "192.168.1.0/24", "192.168.2.0/24", "10.10.5.2/16"]
    found = old.post("/v1/cladnet/availableIPv4AddressSpaces", json={"ipv4Cidrs": named}).json
    taken = [IPv4Network(text, strict=False) for text in named]
    taken += [IPv4Network(text) for text in ("10.77.0.0/24", "172.20.11.0/24", "172.20.12.0/24")]
    of_space = {space: found[f"addressSpace{space}s"] for space in ("10", "172", "192")}
    assert all(texts and texts[0].endswith("/29") for texts in of_space.values())
    offered = [found["recommendedIpv4PrivateAddressSpace"], *(text for texts in of_space.values() for text in texts)]
    assert not [(text, each) for text in offered for each in taken if IPv4Network(text).overlaps(each)]
    for text in offered:
        wish = {"name": "x", "ipv4AddressSpace": text}
        made = old.post("/v1/cladnet", json=wish)
        assert made.status_code == 200, made.text
        networks_left = old.get("/v1/cladnet").json["cladnetSpecifications"]
        assert len(networks_left) == 2
        old.delete(f"/v1/cladnet/{made.json['cladnetId']}")
        Controller(old.application.extensions["larva"].store()).reconcile()
    many = {"ipv4Cidrs": ["10.0.0.0/24"] * 1001}
    assert_status(old.post("/v1/cladnet/availableIPv4AddressSpaces", json=many), 400, 3, "too many")


def test_a_peer_is_shown_from_its_announcement_to_its_loss(
    old: FlaskClient, console_store: Store, site: Site, shop: str
) -> None:
    own = {
        "cladnetId": "shop", "hostId": "a", "hostName": "a", "hostPrivateIpv4Cidr": "172.20.11.0/24",
        "hostPrivateIp": "172.20.11.4", "hostPublicIp": "203.0.113.11", "ipv4Cidr": "10.77.0.1/24", "ip": "10.77.0.1",
        "state": "tunneling",
        "details": {
            "providerName": "", "regionId": "", "availabilityZoneId": "", "virtualNetworkId": "", "subnetId": ""
        },
    }  # fmt: skip
    assert old.get("/v1/cladnet/shop/peer/a").json == own
    found = console_store.get(keys.host_information(shop, "a"), HostNetworkInformation)
    assert found is not None
    console_store.put(keys.host_information(shop, "c"), replace(found.value, host="c", public_key="c" * 43 + "="))
    assert old.get("/v1/cladnet/shop/peer/c").json["state"] == "configuring"
    site.controller.reconcile()
    assert old.get("/v1/cladnet/shop/peer/c").json["state"] == "tunneling"
    console_store.put(keys.host_information(shop, "d"), replace(found.value, host="d"))
    site.controller.reconcile()
    assert old.get("/v1/cladnet/shop/peer/d").json["state"] == "failed"  # it has the key of a
    assert [peer["hostId"] for peer in old.get("/v1/cladnet/shop/peer?hostId=a").json["peers"]] == ["a", "b", "c", "d"]


def test_methods_and_paths_that_never_were(app: Flask, old: FlaskClient, shop: str) -> None:
    for method, path, status, code in (
        ("POST", "/v1/cladnet/shop", 501, 12), ("DELETE", "/v1/cladnet", 501, 12), ("PUT", "/health", 501, 12),
        ("POST", "/v1/control/cladnet/shop/command/UP", 501, 12), ("OPTIONS", "/v1/cladnet", 501, 12),
        ("GET", "/v1/cladnet/shop/nothing", 404, 5), ("GET", "/v1/cladnet/", 404, 5),
        ("GET", "/v1/test/cladnet/shop", 404, 5),
    ):  # fmt: skip
        assert_status(old.open(path, method=method), status, code)
        assert_status(app.test_client().open(path, method=method), status, code)
    for ours in ("/v1/cladnets", "/login", "/", "/static/console.css"):
        assert_status(old.get(ours), 404, 5)
    assert app.test_client().get("/v1/nothing").mimetype == "application/problem+json"


BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"}, {"Host": "evil.example:8053"}, {"Host": "127.0.0.1.evil.example"},
        {"Host": "203.0.113.9:8053"}, {"Host": "[::ffff:203.0.113.9]"}, {"Origin": "https://evil.example"},
        {"Origin": "null"}, {"Origin": "http://127.0.0.1:8053"}, {"Referer": "https://evil.example/"},
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}, {"User-Agent": BROWSER}, {"Cookie": "a=b"},
    ],
)  # fmt: skip
def test_no_page_reaches_the_listener_without_a_login(
    old: FlaskClient, console_store: Store, shop: str, headers: dict[str, str]
) -> None:
    for method, path in CALLS:
        refused = old.open(filled(path), method=method, headers=headers, json=BODIES.get((method, path)))
        assert_status(refused, 403, 7)
    assert_status(old.get("/nothing", headers=headers), 403, 7)
    assert not console_store.revisions(keys.commands_of(shop))
    assert [each.state for each in networks.list_all(console_store)] == [CladnetState.ACTIVE]


@pytest.mark.parametrize("host", ["127.0.0.1:8053", "localhost:8053", "LOCALHOST", "[::1]:8053", "127.0.0.2"])
def test_loopback_has_many_names(old: FlaskClient, shop: str, host: str) -> None:
    assert old.get("/v1/cladnet/shop", headers={"Host": host}).status_code == 200


def tumblebug(call: Callable[[str, str, object], tuple[int, Any]], site: Site) -> None:
    """What CB-Tumblebug v0.8.5 does for an MCIS (src/core/mcis/network.go), request by request.

    Args:
        call: (method, path, body) → HTTP status and JSON.
    """
    # POST /ns/{ns}/network/mcis/mcis01: it asks for the CLADNet, and as the answer has no id it makes one.
    _, answer = call("GET", "/v1/cladnet/mcis01", None)
    assert answer.get("cladnetId", "") == ""
    _, spaces = call("POST", "/v1/cladnet/availableIPv4AddressSpaces", {"ipv4Cidrs": ["10.0.1.0/24", "10.1.1.0/24"]})
    wanted = spaces["recommendedIpv4PrivateAddressSpace"]
    wish = {
        "cladnetID": "mcis01", "name": "mcis01", "ipv4AddressSpace": wanted, "description": "A cladnet for mcis01",
        "ruleType": "",
    }  # fmt: skip
    status, made = call("POST", "/v1/cladnet", wish)
    assert (status, made["cladnetId"], made["ipv4AddressSpace"]) == (200, "mcis01", wanted)
    for number, host in enumerate(("vm-1", "vm-2", "vm-3"), start=1):
        site.join("mcis01", host, number)

    # PUT of the same path: the rule type for all, and for each VM, found by its public address, where it is.
    status, specification = call("GET", "/v1/cladnet/mcis01", None)
    assert (status, specification) == (200, {**made, "ruleType": "basic"})
    status, peers = call("GET", "/v1/cladnet/mcis01/peer", None)
    assert [peer["hostPublicIp"] for peer in peers["peers"]] == ["203.0.113.1", "203.0.113.2", "203.0.113.3"]
    sent = {
        "cladnetID": "mcis01", "name": "mcis01", "ipv4AddressSpace": wanted, "description": "A cladnet for mcis01",
        "ruleType": "cost-prioritized",
    }  # fmt: skip
    status, changed = call("PUT", "/v1/cladnet/mcis01", sent)
    assert (status, changed["ruleType"]) == (200, "cost-prioritized")
    for peer, subnet in zip(peers["peers"], ("subnet-1", "subnet-1", "subnet-2"), strict=True):
        where = {
            "providerName": "aws", "regionID": "ap-northeast-2", "availabilityZoneID": "ap-northeast-2a",
            "virtualNetworkID": "vpc-1", "subnetID": subnet,
        }  # fmt: skip
        path = f"/v1/cladnet/mcis01/peer/{peer['hostId']}/details"
        status, updated = call("PUT", path, {"cloudInformation": where})
        assert (status, updated["details"]["subnetId"], updated["ip"]) == (200, subnet, peer["ip"])


def test_tumblebug_does_its_work(old: FlaskClient, console_store: Store, site: Site) -> None:
    def call(method: str, path: str, body: object) -> tuple[int, Any]:
        answer = old.open(path, method=method, data=json.dumps(body) if body else None, headers=RESTY)
        return answer.status_code, answer.json

    tumblebug(call, site)
    assert networks.find(console_store, "mcis01").rule_type == RuleType.COST_PRIORITIZED
    assert site.rule("mcis01", "vm-1").cloud == CloudFacts(
        provider="aws", region="ap-northeast-2", zone="ap-northeast-2a", network_id="vpc-1", subnet_id="subnet-1"
    )
    path = "/v1/cladnet/{cladnetId}/peer/{hostId}/networkingRule"
    rule = checked(old.get(filled(path, "mcis01", "vm-1")), "GET", path)
    assert rule == {
        "cladnetId": "mcis01", "hostId": ["vm-2", "vm-3"], "hostName": ["vm-2", "vm-3"],
        "peerIp": [str(site.rule("mcis01", host).address) for host in ("vm-2", "vm-3")],
        "selectedIp": ["172.20.2.4", "203.0.113.3"], "peerScope": ["intra", "inter"],
        "state": ["tunneling", "tunneling"],
    }  # fmt: skip


def test_a_running_console_serves_both(
    console_etcd: str, console_store: Store, serve_console: Callable[..., str], site: Site, tmp_path: Path
) -> None:
    """Over sockets: the old API alone, in plain and without a login, on its own port; with a token on the console's."""
    authority, key = Authority.found(tmp_path / "ca"), new_key()
    certificate = authority.issue_server(key.public_key(), common_name="c", addresses=[IPv4Address("127.0.0.1")])
    for name, data in (("pem", certificate.pem.encode()), ("key", key_pem(key)), ("ca", _pem(authority))):
        (tmp_path / f"console.{name}").write_bytes(data)
    files = ("--certificate", tmp_path / "console.pem", "--key", tmp_path / "console.key")
    port = ports.free(1)[0]
    listen = ("--cb-network-listen", f"127.0.0.1:{port}")
    console = serve_console(*files, *listen, etcd=console_etcd, password=PASSWORD).removeprefix("https://")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "console.ca"))

    def ask(
        connection: http.client.HTTPConnection, method: str, path: str, body: object, headers: dict[str, str]
    ) -> tuple[int, Any]:
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def old(method: str, path: str, body: object, headers: dict[str, str] = RESTY) -> tuple[int, Any]:
        return ask(http.client.HTTPConnection("127.0.0.1", port, timeout=30), method, path, body, headers)

    def new(path: str, headers: dict[str, str]) -> tuple[int, Any]:
        return ask(http.client.HTTPSConnection(console, timeout=30, context=trusting), "GET", path, None, headers)

    assert new("/v1/cladnet", RESTY)[0] == 401  # who answers here listens there: the first port is open earlier
    tumblebug(old, site)
    assert old("GET", "/health", None) == (200, "healthy")
    assert old("GET", "/v1/cladnets", None)[0] == 404
    assert old("GET", "/v1/cladnet", None, {"User-Agent": BROWSER})[0] == 403
    lying = {**RESTY, "Host": f"127.0.0.1:{port}", "X-Forwarded-Host": f"127.0.0.1:{port}"}
    assert new("/v1/cladnet", lying)[0] == 401
    bearer = {"Authorization": f"Bearer {access_tokens.create(console_store, 'admin', 'tests')}"}
    assert new("/v1/cladnet/mcis01", bearer)[0] == 200
    assert new("/v1/cladnets/mcis01", bearer)[0] == 200


def test_a_port_that_is_taken_costs_the_old_api_only(
    console_etcd: str, console_store: Store, serve_console: Callable[..., str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        url = serve_console(
            "--insecure-http", "--cb-network-listen", taken, etcd=console_etcd, password=PASSWORD
        ).removeprefix("http://")
        connection = http.client.HTTPConnection(url, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", "/v1/cladnets")
            assert connection.getresponse().status == 401
    assert "nothing is served on 127.0.0.1 port" in (tmp_path / "console.log").read_text()


def _pem(authority: Authority) -> bytes:
    return authority.certificate_pem.encode()
