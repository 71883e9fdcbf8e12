"""Lists page by page: a cursor names the last item that was seen, so that nothing is told twice or left out."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from msgspec import Meta

from larva import codec
from larva.errors import InvalidInput, MalformedData

T = TypeVar("T")

MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a caller may say of the part of a list that it wants."""

    limit: Annotated[int, Meta(ge=1, le=MOST, description="How many items at most; all of them without it.")] | None = (
        None
    )
    cursor: Annotated[str, Meta(description="`next` of the page before.", max_length=1000)] | None = None


def asked(query: Mapping[str, str]) -> Page:
    """Return what a request asks for; MalformedData for a limit that is none."""
    return codec.from_texts(query, Page, source="query")


def cut(items: Sequence[T], order: Callable[[T], tuple[str, ...]], page: Page) -> tuple[tuple[T, ...], str | None]:
    """Return one page of a list and the cursor of the next one, None where there is none.

    Args:
        order: what items are ordered by, different for each of them.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    after = _read(page.cursor) if page.cursor is not None else ()
    rest = sorted((item for item in items if order(item) > after or not after), key=order)
    shown = tuple(rest if page.limit is None else rest[: page.limit])
    return shown, _cursor(order(shown[-1])) if len(shown) < len(rest) else None


def _cursor(place: tuple[str, ...]) -> str:
    return base64.urlsafe_b64encode(codec.encode(place)).decode().rstrip("=")


def _read(cursor: str) -> tuple[str, ...]:
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        return codec.decode(base64.b64decode(padded, altchars=b"-_", validate=True), tuple[str, ...], source="cursor")
    except (ValueError, binascii.Error, MalformedData) as error:
        raise InvalidInput("the cursor is none of this list's", hint="take `next` of the page before") from error
