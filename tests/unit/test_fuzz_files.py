"""Files that people, clouds and earlier runs leave: read as what they should be, or refused without their secrets."""

import contextlib
import os
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cladnet.agent.agent import GroupIndexes
from cladnet.agent.discovery import Metadata, metadata, parse_metadata
from cladnet.agent.rule_cache import RuleCache
from cladnet.enrol import join_file
from cladnet.enrol.join_file import JoinFile, check_server
from cladnet.member import Member
from cladnet.model import CloudFacts
from cladnet.placement import candidates
from cladnet.placement.candidates import Candidates
from images import recipe
from images.clouds.lab import topology, topology_toml
from larva import codec, settings, toml
from larva.errors import InvalidInput, LarvaError, MalformedData

HOUSE = Path(__file__).parents[2]
SECRET = "zqxjsecretjxqz"
LONGEST_MESSAGE = 1500

values = st.sampled_from(
    ["1", "-1", "1e400", "true", '""', '"a"', '"x y"', '"10.0.0.1"', '"10.0.0.0/8"', "[]", '["member"]', '["control"]',
     '["a", "a"]', "[1, [2]]", "{}", "{a = 1}", "2026-01-01", "2026-01-01T00:00:00Z", '"https://10.0.0.1:8443"',
     '"https://["', '"https://[::1"', '"https://h:99999"', '"https://u:p@h"', '"\\u0000"', f'"{SECRET}"', f'"{SECRET}',
     "[" * 3000, "'''", "0x", '"\u202e"', "nan", "99999999999999999999999", f'["{SECRET}", 1]', f'"sha256:{"0" * 64}"']
)  # fmt: skip
names = st.sampled_from(
    ["roles", "host", "join", "server", "ca", "token", "control", "public_address", "admin_password", "cloud",
     "provider", "region", "storage", "devices", "groups", "etcd_endpoints", "candidates", "rtt", "between", "ms",
     "name", "clouds", "hosts", "cidr", "private", "public", '"a.b"', "", "a.b.c", "to ken", SECRET]
)  # fmt: skip
lines = (
    st.tuples(names, values).map(" = ".join)
    | names.map("[{}]".format)
    | names.map("[[{}]]".format)
    | st.text(max_size=10)
)
documents = st.lists(lines, max_size=8).map("\n".join).map(lambda text: text.encode(errors="replace")) | st.binary()
WHOLE = f"""roles = ["storage"]
host = "h-1"
[join]
server = "https://10.0.0.1:8443"
ca = "sha256:{"0" * 64}"
token = "{SECRET}"
[control]
admin_password = "{SECRET}"
"""


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with one piece of it replaced."""
    start = draw(st.integers(0, len(whole)))
    piece = draw(st.binary(max_size=4) | lines.map(lambda line: line.encode(errors="replace")))
    return whole[:start] + piece + whole[start + draw(st.integers(0, 20)) :]


@contextlib.contextmanager
def directory_of(variable: str, path: Path) -> Iterator[None]:
    """Have the host's files there."""
    before = os.environ.get(variable)
    os.environ[variable] = str(path)
    try:
        yield
    finally:
        os.environ.pop(variable)
        if before is not None:
            os.environ[variable] = before


def read(reader: Callable[[], Any]) -> Any:
    """What the reader gives, or the error that it should raise if it raises any."""
    try:
        return reader()
    except (LarvaError, OSError) as error:
        return error


def assert_in_words(found: object, kind: type[Any]) -> None:
    assert isinstance(found, kind | LarvaError), repr(found)
    if isinstance(found, LarvaError):
        assert len(found.message) + len(found.hint) < LONGEST_MESSAGE


def read_join_file(text: bytes, directory: Path) -> object:
    """What this host's join file is taken for."""
    with directory_of("LARVA_CONFIG", directory):
        join_file.join_file().write_bytes(text)
        join_file.join_file().chmod(0o600)
        return read(JoinFile.load)


@given(documents | damaged(WHOLE.encode()))
@example(b"x = " + b"[" * 100_000)
@example(WHOLE.replace("https://10.0.0.1:8443", "https://[").encode())
def test_a_join_file_is_one_or_refused(tmp_path_factory: Any, text: bytes) -> None:
    assert_in_words(read_join_file(text, tmp_path_factory.getbasetemp()), JoinFile)


@given(st.integers(0, WHOLE.index("token")), st.binary(max_size=3), st.integers(0, 20))
@example(WHOLE.index("10.0.0.1"), f"user:{SECRET}@".encode(), 0)
@example(WHOLE.index('"storage"'), b"1, ", 0)
@example(WHOLE.index("[join]"), b'storage = "x"\n', 0)
def test_what_is_wrong_with_a_join_file_is_said_without_its_secrets(
    tmp_path_factory: Any, at: int, piece: bytes, gone: int
) -> None:
    text = WHOLE[:at].encode() + piece + WHOLE[min(at + gone, WHOLE.index("token")) :].encode()
    found = read_join_file(text, tmp_path_factory.getbasetemp())
    assert SECRET not in repr(found)
    if isinstance(found, LarvaError):
        assert SECRET not in found.message + found.hint


@pytest.mark.parametrize(
    "line",
    [
        f'token = ["{SECRET}"]',
        f'token = "{SECRET}',
        f"token = {SECRET}",
        f'tokens = "{SECRET}"',
        f'token = "{SECRET}"\ntoken = ""',
        f'token = "{SECRET}\\q"',
        f'token.x = "{SECRET}"',
    ],
)
def test_a_token_that_is_written_wrong_is_not_repeated(tmp_path: Path, line: str) -> None:
    found = read_join_file(WHOLE.replace(f'token = "{SECRET}"', line).encode(), tmp_path)
    assert isinstance(found, MalformedData)
    assert SECRET not in found.message + found.hint


@given(st.text() | values.map(lambda text: text.strip('"')))
@example("https://[")
@example("https://h:x")
def test_a_server_is_a_url_or_refused(url: str) -> None:
    found = read(lambda: check_server(url, what="server"))
    assert isinstance(found, str | InvalidInput)


@given(documents)
def test_the_records_of_this_host_are_read_or_refused(tmp_path_factory: Any, text: bytes) -> None:
    directory = tmp_path_factory.getbasetemp()
    with directory_of("LARVA_STATE", directory):
        (directory / "member.toml").write_bytes(text)
        assert_in_words(read(Member.load), Member)
        (directory / "rules").mkdir(exist_ok=True)
        (directory / "rules" / "g.json").write_bytes(text)
        assert RuleCache("g").load() is None


@given(st.binary() | st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=3)).map(codec.encode))
@example(b'{"a":-1,"b":-1}')
@example(b'{"a":1e3}')
def test_the_list_of_cladnets_is_one_of_different_interfaces(tmp_path_factory: Any, text: bytes) -> None:
    """Indexes name interfaces and ports: none may be below zero or stand twice."""
    with directory_of("LARVA_STATE", tmp_path_factory.getbasetemp()):
        (settings.state_directory() / "groups.json").write_bytes(text)
        indexes = list(GroupIndexes(("first",)).indexes.values())
    assert all(0 <= index < 10_000 for index in indexes)
    assert len(set(indexes)) == len(indexes)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text() | st.just("x" * 5000),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["v1", "ds", "meta_data", "cloud_name", "region", "availability_zone", "network", "interfaces", "macs",
             "vpc-id", "subnet-id", "device-number", "public-ipv4", "public_ipv4", "x"]
        ), inner, max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip


@given(json_like)
def test_what_a_cloud_tells_is_facts_that_others_can_read(told: Any) -> None:
    found = parse_metadata(told if isinstance(told, dict) else {"v1": told, "ds": {"meta_data": told}})
    assert isinstance(found, Metadata)
    assert codec.decode(codec.encode(found.cloud), CloudFacts, source="-") == found.cloud


@given(documents | st.binary())
def test_instance_data_is_read_or_passed_over(tmp_path_factory: Any, text: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "instance-data.json"
    path.write_bytes(text)
    assert isinstance(metadata(path), Metadata)


@pytest.mark.parametrize("suffix", ["toml", "json"])
@pytest.mark.parametrize("whole", ["docs/placement-east-asia.toml", "docs/placement-two-csps.json"])
def test_placement_input_is_candidates_or_refused(tmp_path: Path, suffix: str, whole: str) -> None:
    path = tmp_path / f"candidates.{suffix}"

    @given(documents | damaged((HOUSE / whole).read_bytes()))
    @example(b"x = " + b"[" * 100_000)
    def reads(text: bytes) -> None:
        path.write_bytes(text)
        assert_in_words(read(lambda: candidates.read(path)), Candidates)

    reads()


@given(documents | damaged((HOUSE / "images/clouds/lab/three-clouds.toml").read_bytes()))
@example(b"x = " + b"[" * 100_000)
def test_a_topology_is_one_or_refused(text: bytes) -> None:
    found = read(lambda: topology_toml.parse(text.decode(errors="replace"), source="-"))
    assert isinstance(found, topology.Topology | LarvaError)


@given(documents | damaged((HOUSE / "images/recipes/full.toml").read_bytes()))
@example(b"x = " + b"[" * 100_000)
def test_a_recipe_is_one_or_refused(tmp_path_factory: Any, text: bytes) -> None:
    directory = tmp_path_factory.getbasetemp()
    (directory / "fuzz.toml").write_bytes(text)
    found = read(lambda: recipe.load("fuzz", directory))
    assert isinstance(found, recipe.Recipe | LarvaError)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.lists(st.text()), max_size=4))
def test_what_is_written_as_toml_is_read_back(table: dict[str, Any]) -> None:
    try:
        written = toml.encode(table)
    except MalformedData:
        return
    assert tomllib.loads(written) == table
