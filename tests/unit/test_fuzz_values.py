"""Whatever stands in etcd, in a file of ours or in an answer in JSON: it is a value of its type or MalformedData."""

import dataclasses
import inspect
import ipaddress
import json
import typing
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from etcd3 import etcdrpc
from hypothesis import given, settings
from hypothesis import strategies as st

import cbstorage.ceph.answers
import cbstorage.ceph.osds
import cbstorage.connection_model
import cbstorage.host.claim
import cbstorage.host.device
import cbstorage.host.osd
import cbstorage.host.peers
import cbstorage.host.preflight
import cbstorage.leading.copier
import cbstorage.leading.rates
import cbstorage.leading.tree
import cbstorage.mirror_model
import cbstorage.model
import cbstorage.mount_model
import cbstorage.mounting.mounts
import cbstorage.osd_model
import cbstorage.promise
import cbstorage.rotation_model
import cbstorage.share_model
import cbstorage.smb.model
import cbstorage.smb.plan
import cbstorage.volume_model
import cladnet.agent.alarms
import cladnet.agent.rule_cache
import cladnet.enrol.console_client
import cladnet.enrol.enrolment
import cladnet.enrol.join_file
import cladnet.member
import cladnet.model
import cladnet.quality
import web.access_tokens
import web.account_model
import web.api.cladnets
import web.api.enrolment_tokens
import web.api.mirrors
import web.api.shares
import web.api.snapshots
import web.api.status
import web.api.volumes
import web.enrolment
import web.first_account
from cladnet import keys
from cladnet.etcd.store import Store
from larva import codec
from larva.errors import MalformedData

ROOMS: tuple[ModuleType, ...] = (
    cbstorage.ceph.answers,
    cbstorage.ceph.osds,
    cbstorage.connection_model,
    cbstorage.host.claim,
    cbstorage.host.device,
    cbstorage.host.osd,
    cbstorage.host.peers,
    cbstorage.host.preflight,
    cbstorage.leading.copier,
    cbstorage.leading.rates,
    cbstorage.leading.tree,
    cbstorage.mirror_model,
    cbstorage.model,
    cbstorage.mount_model,
    cbstorage.mounting.mounts,
    cbstorage.osd_model,
    cbstorage.promise,
    cbstorage.rotation_model,
    cbstorage.share_model,
    cbstorage.smb.model,
    cbstorage.smb.plan,
    cbstorage.volume_model,
    cladnet.agent.alarms,
    cladnet.agent.rule_cache,
    cladnet.enrol.console_client,
    cladnet.enrol.enrolment,
    cladnet.enrol.join_file,
    cladnet.member,
    cladnet.model,
    cladnet.quality,
    web.access_tokens,
    web.account_model,
    web.api.cladnets,
    web.api.enrolment_tokens,
    web.api.mirrors,
    web.api.shares,
    web.api.snapshots,
    web.api.status,
    web.api.volumes,
    web.enrolment,
    web.first_account,
)
INNER = frozenset({cbstorage.leading.rates.Look})
"""Kept in memory between two looks, and neither written nor read: its numbers as names have no order in JSON."""
LONGEST_MESSAGE = 700


def _kinds() -> Iterator[type[Any]]:
    """Every dataclass of the rooms whose values are read from outside."""
    for room in ROOMS:
        for _, kind in inspect.getmembers(room, inspect.isclass):
            ours = dataclasses.is_dataclass(kind) and kind.__module__ == room.__name__ and kind not in INNER
            if ours and _is_data(kind):
                yield kind


def _is_data(kind: type[Any]) -> bool:
    try:
        codec.convert({}, kind, source="-")
    except MalformedData:
        return True
    except TypeError:  # holds what no JSON describes: it is never read
        return False
    return True


KINDS = tuple(_kinds())
PLAIN = tuple(
    kind for kind in KINDS if kind.__module__ in ("cladnet.model", "cbstorage.model", "cbstorage.volume_model")
)

numbers = st.integers() | st.integers(-(2**70), 2**70) | st.floats() | st.just(10**400)
texts = st.text(max_size=20) | st.sampled_from(
    ["10.0.0.1", "10.0.0.0/8", "10.0.0.1/33", "1.2.3", "::1", "active", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
     "0001-01-01T00:00:00+14:00", "2026-01-01", "\x00", "../..", "a" * 5000, "é\u202e", "\ud800"]
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def nearly(draw: st.DrawFn, kind: type[Any]) -> bytes:
    """A valid encoding of the kind, in which something was changed, or nothing."""
    tree = _tree(draw, kind, 4)
    for _ in range(draw(st.integers(0, 3))):
        tree = _mutated(draw, tree)
    text = json.dumps(tree, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    if draw(st.integers(0, 5)) == 0 and text:
        at = draw(st.integers(0, len(text) - 1))
        text = text[:at] + draw(st.binary(max_size=6)) + text[at + draw(st.integers(0, 3)) :]
    return text


def _tree(draw: st.DrawFn, kind: Any, depth: int) -> Any:
    """JSON that the kind would take: by the fields' own types, their bounds left out."""
    if dataclasses.is_dataclass(kind):
        if depth == 0:
            return {}
        types = _hints(kind)
        return {each.name: _tree(draw, types[each.name], depth - 1) for each in dataclasses.fields(kind)}
    origin, arguments = getattr(kind, "__origin__", None), getattr(kind, "__args__", ())
    if hasattr(kind, "__metadata__"):
        return _tree(draw, kind.__origin__, depth)
    if origin is tuple and arguments[-1:] == (...,):
        return [_tree(draw, arguments[0], depth - 1) for _ in range(draw(st.integers(0, 2)))]
    if origin is tuple:
        return [_tree(draw, each, depth - 1) for each in arguments]
    if len(arguments) == 2 and isinstance(origin, type) and origin is not type:
        name = draw(st.text("ab1", max_size=3)) if arguments[0] is str else _leaf(draw, arguments[0])
        return {name: _tree(draw, arguments[1], depth - 1)}
    if arguments:
        return _tree(draw, draw(st.sampled_from(arguments)), depth)
    return _leaf(draw, kind)


def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _leaf(draw: st.DrawFn, kind: Any) -> Any:
    samples: dict[Any, Any] = {
        bool: st.booleans(), int: st.integers(0, 70000), float: st.floats(0, 1e6), str: st.text("abc-9./", max_size=12),
        datetime: st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5+05:30", "2026-01-01T00:00:00"]),
        Path: st.text("/ab.", max_size=8), type(None): st.none(),
        ipaddress.IPv4Address: st.ip_addresses(v=4).map(str), ipaddress.IPv6Address: st.ip_addresses(v=6).map(str),
        ipaddress.IPv4Network: st.sampled_from(["10.0.0.0/8", "10.0.0.1/32", "0.0.0.0/0"]),
        ipaddress.IPv4Interface: st.sampled_from(["10.0.0.7/8", "10.0.0.1/32"]),
    }  # fmt: skip
    if kind in samples:
        return draw(samples[kind])
    return draw(st.sampled_from([each.value for each in kind])) if hasattr(kind, "__members__") else draw(json_values)


def _mutated(draw: st.DrawFn, tree: Any) -> Any:
    """The tree with one node of it replaced, doubled or left out."""
    if not tree or not isinstance(tree, dict | list) or draw(st.integers(0, 2)) == 0:
        return draw(json_values)
    if isinstance(tree, list):
        at = draw(st.integers(0, len(tree) - 1))
        return [*tree[:at], _mutated(draw, tree[at]), *tree[at + draw(st.integers(0, 1)) :]]
    name = draw(st.sampled_from(sorted(tree)))
    changed = {key: value for key, value in tree.items() if key != name or draw(st.integers(0, 3))}
    changed[draw(st.sampled_from([name, name + "x", ""]))] = _mutated(draw, tree[name])
    return changed


@settings(max_examples=5 * settings.default.max_examples)
@given(st.data(), st.sampled_from(KINDS))
def test_json_is_a_value_or_malformed(data: st.DataObject, kind: type[Any]) -> None:
    text = data.draw(nearly(kind) | json_values.map(lambda tree: json.dumps(tree).encode()) | st.binary())
    refused = ""
    try:
        value = codec.decode(text, kind, source="somewhere")
    except MalformedData as error:
        refused = error.message
    if refused:
        assert refused.startswith("somewhere: ")
        assert len(refused) < LONGEST_MESSAGE
        return
    assert isinstance(value, kind)
    again = codec.decode(codec.encode(value), kind, source="again")
    assert codec.encode(again) == codec.encode(value)


def test_valid_values_are_among_what_is_tried() -> None:
    """A fuzzer whose every example is refused at its first brace would find nothing further in."""
    taken: set[type[Any]] = set()

    @settings(max_examples=2 * settings.default.max_examples)
    @given(st.data(), st.sampled_from(KINDS))
    def count(data: st.DataObject, kind: type[Any]) -> None:
        try:
            codec.decode(data.draw(nearly(kind)), kind, source="-")
        except MalformedData:
            return
        taken.add(kind)

    count()
    assert len(taken) > 10


@pytest.mark.parametrize("kind", [dict[str, Any], dict[str, int], list[Any], cladnet.model.NetworkingRule])
@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 100_000, b"\xff" * 1000, b"", b'"\\ud800"']
)
def test_what_is_deep_long_or_no_text_is_malformed(kind: type[Any], text: bytes) -> None:
    with pytest.raises(MalformedData) as error:
        codec.decode(text, kind, source="-")
    assert len(error.value.message) < LONGEST_MESSAGE


@given(st.data(), st.sampled_from(PLAIN))
def test_a_listing_leaves_out_what_it_cannot_read(data: st.DataObject, kind: type[Any]) -> None:
    name = st.sampled_from([b"a", b"b-1", b"a/b", b"../a", b"", b"A", b"\xff", b"a\n", "ä".encode()]) | st.binary()
    items = data.draw(st.lists(st.tuples(name, nearly(kind) | st.binary()), max_size=5))
    response = etcdrpc.RangeResponse()
    for key, value in items:
        response.kvs.add(key=b"p/" + key, value=value)
    with Store(["http://127.0.0.1:1"]) as store:
        store.cluster.call = lambda *_: (response, False)  # type: ignore[method-assign]
        children = store.children("p/", kind)
        assert all(keys.is_segment(child) and isinstance(item.value, kind) for child, item in children.items())
        for key in store.revisions("p/"):
            assert key.encode(errors="surrogateescape") in [b"p/" + each for each, _ in items]


@given(texts)
def test_text_for_people_survives_the_way_to_etcd(text: str) -> None:
    """What Python can hold and JSON cannot is refused as what it is, not by an accident further down."""
    try:
        encoded = codec.encode({"text": text})
    except MalformedData:
        assert any("\ud800" <= letter <= "\udfff" for letter in text)
        return
    assert codec.decode(encoded, dict[str, str], source="-") == {"text": text}
