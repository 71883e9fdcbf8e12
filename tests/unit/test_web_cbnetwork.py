"""The old service's JSON, browsers and ranges, without etcd."""

import contextlib
import json
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet import cidr
from cladnet.cidr import RESERVED, USUAL
from larva.errors import InvalidInput
from web.cbnetwork import messages, protojson, translation
from web.cbnetwork.local import is_loopback
from web.cbnetwork.messages import CladnetSpecification, DeletionResult, Peers
from web.console import _plain_listener

WORDS = st.text(max_size=20)
SPECIFICATIONS = st.builds(
    CladnetSpecification,
    cladnet_id=WORDS, name=WORDS, ipv4_address_space=WORDS, description=WORDS, rule_type=WORDS,
)  # fmt: skip
NETWORKS = st.builds(
    lambda number, prefix: IPv4Network((number, prefix), strict=False),
    st.integers(0, 2**32 - 1), st.integers(4, 32),
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from(["cladnetId", "name", "peers", "ipv4Cidr", "details", "testSpec", "cloudInformation", "x"])


@given(SPECIFICATIONS)
def test_what_is_written_is_read(wish: CladnetSpecification) -> None:
    result = DeletionResult(is_succeeded=True, message="", cladnet_specification=wish)
    assert protojson.read(protojson.write(result), DeletionResult) == result


def test_names_are_camel_case_and_defaults_are_written() -> None:
    assert json.loads(protojson.write(messages.AvailableAddressSpaces(address_space10s=("10.0.0.0/9",)))) == {
        "recommendedIpv4PrivateAddressSpace": "", "addressSpace10s": ["10.0.0.0/9"], "addressSpace172s": [],
        "addressSpace192s": [],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["cladnetId", "cladnet_id", "cladnetID", "CladnetId"])
def test_a_field_is_known_however_it_is_spelt(name: str) -> None:
    body = json.dumps({name: "a", "unknown": 1, "description": None}).encode()
    assert protojson.read(body, CladnetSpecification) == CladnetSpecification(cladnet_id="a")


@given(st.dictionaries(NAMES, ANYTHING) | ANYTHING)
def test_anything_is_a_message_or_bad_input(found: object) -> None:
    for kind in (CladnetSpecification, Peers, messages.UpdateDetailsRequest, messages.TestRequest):
        with contextlib.suppress(InvalidInput):
            assert isinstance(protojson.read(json.dumps(found).encode(), kind), kind)


@given(st.binary(max_size=60))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with contextlib.suppress(InvalidInput):
        protojson.read(data, CladnetSpecification)


@given(st.text(max_size=60) | ANYTHING.map(json.dumps))
def test_a_count_of_trials_can_be_or_is_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert 1 <= translation.trials(text) <= 100


def first_free(space: str, avoided: tuple[IPv4Network, ...], prefix: int) -> IPv4Network | None:
    """The search that recommends, which looks at one range after the other."""
    return cidr._first_free(IPv4Network(space), avoided, prefix)


@given(st.lists(NETWORKS, max_size=20))
def test_every_free_range_is_free_and_none_of_its_size_is_missed(taken: list[IPv4Network]) -> None:
    offered = translation.available(IPv4Network("192.168.0.0/24"), taken)
    avoided = (*taken, *RESERVED, *USUAL)
    for space, texts in (
        ("10.0.0.0/8", offered.address_space10s),
        ("172.16.0.0/12", offered.address_space172s),
        ("192.168.0.0/16", offered.address_space192s),
    ):
        found = [IPv4Network(text) for text in texts]
        assert all(each.subnet_of(IPv4Network(space)) for each in found)
        assert not any(each.overlaps(other) for each in found for other in avoided)
        prefixes = [each.prefixlen for each in found]
        sizes = range(29, IPv4Network(space).prefixlen, -1)
        assert prefixes == [prefix for prefix in sizes if first_free(space, avoided, prefix)]


@given(st.from_regex(r"[a-z0-9.:\[\]-]{0,20}", fullmatch=True))
def test_a_host_is_loopback_only_by_its_own_names(host: str) -> None:
    if is_loopback(host):
        assert host.startswith(("localhost", "127.", "[::1", "[0"))


@pytest.mark.parametrize("listen", ["0.0.0.0:8053", "203.0.113.1:8053", "[::]:8053"])
def test_the_listener_without_a_login_is_never_open_to_a_network(listen: str) -> None:
    with pytest.raises(InvalidInput, match="login"):
        _plain_listener(listen)
    assert _plain_listener("[::1]:8053").port == 8053
