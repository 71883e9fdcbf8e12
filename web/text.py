"""The words of a page in its reader's language: chosen by the reader, else as the browser asks for."""

from collections.abc import Mapping
from enum import StrEnum

from flask import has_request_context, request

from web.words import (
    english,
    english_images,
    english_networks,
    english_people,
    english_volumes,
    korean,
    korean_images,
    korean_networks,
    korean_people,
    korean_volumes,
)

COOKIE = "larva-language"
_SCRIPTS = "live."
"""Keys that begin so are for scripts."""


class Language(StrEnum):
    """A language of the console; the value is its tag (BCP 47)."""

    ENGLISH = "en"
    KOREAN = "ko"


CATALOGUE: Mapping[Language, Mapping[str, str]] = {
    Language.ENGLISH: english.WORDS
    | english_networks.WORDS
    | english_volumes.WORDS
    | english_images.WORDS
    | english_people.WORDS,
    Language.KOREAN: korean.WORDS
    | korean_networks.WORDS
    | korean_volumes.WORDS
    | korean_images.WORDS
    | korean_people.WORDS,
}
NAMES: Mapping[Language, str] = {Language.ENGLISH: "English", Language.KOREAN: "한국어"}
"""Each in its own language."""


def language() -> Language:
    """Return the language of the page that is asked for."""
    if not has_request_context():
        return Language.ENGLISH
    chosen = request.cookies.get(COOKIE, "")
    if chosen in list(Language):
        return Language(chosen)
    return Language(request.accept_languages.best_match(list(Language), default=Language.ENGLISH))


def text(key: str, **values: object) -> str:
    """Return the words for `key`; KeyError for one that is not in the table, so that a test finds it."""
    words = CATALOGUE[language()][key]
    return words.format(**values) if values else words


def for_scripts() -> dict[str, str]:
    """Return the words that scripts put on the page."""
    return {key.removeprefix(_SCRIPTS): said for key, said in CATALOGUE[language()].items() if key.startswith(_SCRIPTS)}
