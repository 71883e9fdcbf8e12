"""Data from outside: what is malformed is refused with its path; what is sound survives the journey."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from larva import codec
from larva.errors import MalformedData


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    address: IPv4Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: str
    cidr: IPv4Network
    inner: tuple[Inner, ...] = ()


@given(st.text(), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_what_is_encoded_decodes_to_itself(name: str, one: int, two: int) -> None:
    value = Outer(name=name, cidr=IPv4Network((one, 32)), inner=(Inner(address=IPv4Address(two)),))
    assert codec.decode(codec.encode(value), Outer, source="t") == value


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{", "t:"),
        ('{"name": 1, "cidr": "10.0.0.0/8"}', r"\$\.name"),
        ('{"name": "a", "cidr": "10.0.0.1/8"}', r"\$\.cidr"),
        ('{"name": "a", "cidr": "10.0.0.0/8", "inner": [{"address": "1.2.3"}]}', r"\$\.inner\[0\]\.address"),
        ('{"name": "a"}', "cidr"),
        ("[" * 100_000, "t:"),
        ('{"name": "\\ud800", "cidr": "10.0.0.0/8"}', "t:"),
    ],
)
def test_malformed_data_names_its_path(text: str, path: str) -> None:
    with pytest.raises(MalformedData, match=path):
        codec.decode(text, Outer, source="t")


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        codec.decode(data, Outer, source="t")
    except MalformedData:
        return


def test_an_older_reader_survives_a_newer_writer() -> None:
    assert codec.decode('{"address": "10.0.0.1", "later": [1]}', Inner, source="t").address == IPv4Address("10.0.0.1")


def test_toml_errors_name_the_file(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("name = [")
    with pytest.raises(MalformedData, match=r"bad\.toml"):
        codec.read_toml(bad, Outer)
    with pytest.raises(MalformedData, match="No such file"):
        codec.read_toml(tmp_path / "absent.toml", Outer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    limit: int | None = None
    force: bool = False
    name: Annotated[str, Meta(pattern=r"\A[a-z]*\Z")] = ""


def test_texts_become_what_is_wanted() -> None:
    texts = {"limit": "3", "force": "true", "name": "a", "other": "x"}
    assert codec.from_texts(texts, Asked, source="t") == Asked(limit=3, force=True, name="a")
    with pytest.raises(MalformedData, match=r"t: .*\$\.limit"):
        codec.from_texts({"limit": "many"}, Asked, source="t")


def test_schemas_say_what_is_encoded() -> None:
    (outer, asked), named = codec.schemas([Outer, Asked], reference="#/x/{name}")
    assert (outer, asked) == ({"$ref": "#/x/Outer"}, {"$ref": "#/x/Asked"})
    assert named["Inner"]["properties"]["address"] == {"type": "string", "format": "ipv4"}
    assert named["Outer"]["properties"]["cidr"] == {"type": "string"}
    assert named["Outer"]["required"] == ["name", "cidr"]
    assert named["Asked"]["properties"]["name"]["pattern"] == "^[a-z]*$", "as every language's expressions have it"
