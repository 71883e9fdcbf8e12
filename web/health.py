"""What a complaint of the storage cluster means, in the reader's language."""

from collections.abc import Mapping
from dataclasses import replace

from cbstorage.wanted.health_words import Explained, Words
from web.text import Language, language
from web.words import korean_health

TRANSLATED: Mapping[Language, Mapping[str, Words]] = {Language.KOREAN: korean_health.TABLE}
"""English is the storage's own (`cbstorage.wanted.health_words`)."""


def words_of(explained: Explained) -> Explained:
    """Return the complaint with its cause and remedy translated, where there is a translation."""
    words = TRANSLATED.get(language(), {}).get(explained.code)
    return replace(explained, cause=words.cause, remedy=words.remedy) if words else explained
