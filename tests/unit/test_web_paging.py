"""Pages of a list: nothing is told twice, nothing is left out, whatever changes in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larva.errors import InvalidInput, MalformedData
from web.api import paging
from web.api.paging import Page

ITEMS = st.lists(st.text(max_size=3), unique=True, max_size=20)


def order(item: str) -> tuple[str, ...]:
    return (item,)


@given(ITEMS, st.integers(1, 5))
def test_pages_together_are_the_list(items: list[str], limit: int) -> None:
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = paging.cut(items, order, Page(limit=limit, cursor=cursor))
        assert len(page) <= limit
        seen += page
        if cursor is None:
            break
    assert seen == sorted(items)


def test_without_a_limit_it_is_all() -> None:
    assert paging.cut(["b", "a"], order, Page()) == (("a", "b"), None)


def test_what_goes_and_comes_meanwhile_moves_nothing() -> None:
    _, cursor = paging.cut(["a", "b", "c", "d"], order, Page(limit=2))
    assert paging.cut(["aa", "c", "d"], order, Page(cursor=cursor)) == (("c", "d"), None)


@pytest.mark.parametrize("cursor", ["x", "!!", "e30", "bnVsbA", "WzFd", "\u00e9", ""])
def test_a_foreign_cursor_is_refused_in_words(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        paging.cut(["a"], order, Page(cursor=cursor))


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "x"}, {"limit": "1001"}, {"cursor": "x" * 2000}])
def test_a_wrong_limit_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(MalformedData, match="query"):
        paging.asked(query)
    assert paging.asked({"limit": "7", "x": "y"}).limit == 7
