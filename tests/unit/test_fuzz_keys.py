"""No name leads a key out of its place: slashes, look-alikes, line ends, names of a megabyte, what is no text."""

import inspect
from collections.abc import Callable
from types import ModuleType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import cbstorage.keys
import cladnet.keys
from larva.errors import InvalidInput

NOT_MAKERS = ("segment", "is_segment", "child", "last_segment", "host_and_volume")


def _makers(module: ModuleType) -> list[Callable[..., str]]:
    return [
        function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_") and name not in NOT_MAKERS
    ]


def _prefixes(module: ModuleType) -> list[str]:
    values = [value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)]
    return [value for value in values if value not in (cladnet.keys.ROOT, cbstorage.keys.ROOT)]


MAKERS = [*_makers(cladnet.keys), *_makers(cbstorage.keys)]
PREFIXES = [*_prefixes(cladnet.keys), *_prefixes(cbstorage.keys)]
good = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
evil = st.text() | st.sampled_from(
    ["", "/", "a/b", "../a", ".", "..", "a/", "/a", "a\n", "\na", "a\0b", "A", "\u0430", "\uff41", "a\u2044b",
     "a\u2215b", "a\uff0fb", "\u00b2", "\u0663", "a\u200b", "a\u202eb", "-a", "a-", "a" * 64, "a" * 1_000_000,
     "/" * 1_000_000, "\ud800", "a%2fb", "a b", "\u00e9", "\u00df", "10.0.0.1", "10.0.0.1/8", "::1", "1", "10.0.0.01"]
)  # fmt: skip
names = good | evil


def test_every_function_that_makes_keys_is_looked_at() -> None:
    assert len(MAKERS) > 25
    assert len(set(PREFIXES)) == len(PREFIXES) > 20


@given(st.data(), st.sampled_from(MAKERS))
def test_a_key_stands_where_its_function_puts_it_or_is_refused(data: st.DataObject, maker: Callable[..., str]) -> None:
    """What comes out has as many parts as for good names, begins with the same prefix, and holds the names whole."""
    parameters = list(inspect.signature(maker).parameters)
    given_names = {name: data.draw(names, label=name) for name in parameters}
    ordinary = maker(**{name: "10.0.0.1" if name == "ip" else "a" * 40 for name in parameters})
    said, key = "", ""
    try:
        key = maker(**given_names)
    except InvalidInput as error:
        said = error.message
    assert len(said) < 500
    if said:
        return
    assert key.isascii()
    assert key.count("/") == ordinary.count("/")
    assert key.startswith(
        next(prefix for prefix in sorted(PREFIXES, key=len, reverse=True) if ordinary.startswith(prefix))
    )
    inside = [part for part in key.split("/") if part]
    for value in given_names.values():
        assert value in inside or value[:40] in inside


@given(st.data(), st.sampled_from(MAKERS), good, good)
def test_two_hosts_or_cladnets_never_share_a_key(
    data: st.DataObject, maker: Callable[..., str], one: str, other: str
) -> None:
    parameters = list(inspect.signature(maker).parameters)
    common = {name: "10.0.0.1" if name == "ip" else data.draw(good) for name in parameters}
    changed = data.draw(st.sampled_from(parameters))
    if changed == "ip" or one == other:
        return
    first, second = maker(**{**common, changed: one}), maker(**{**common, changed: other})
    assert first != second
    assert not first.endswith("/") or not second.startswith(first)


@given(names, names)
@example("p/", "p/a\n")
def test_a_child_is_a_name_and_makes_its_key_again(prefix: str, key: str) -> None:
    for whole in (key, prefix + key):
        name = cladnet.keys.child(prefix, whole)
        assert name is None or (cladnet.keys.is_segment(name) and prefix + name == whole)
        found = cbstorage.keys.host_and_volume(prefix, whole)
        assert found is None or (all(map(cladnet.keys.is_segment, found)) and prefix + "/".join(found) == whole)


@pytest.mark.parametrize("one", PREFIXES)
def test_no_prefix_lies_within_another(one: str) -> None:
    assert not [other for other in PREFIXES if other != one and other.startswith(one)]
