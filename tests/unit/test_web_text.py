"""Every word of the pages is in the table of every language, and the tables hold no word that nobody says."""

import re
from pathlib import Path
from string import Formatter

import pytest
from flask import Flask

import web
from cbstorage.model import MountPhase
from cladnet.model import CladnetState, HostState, Role
from cladnet.quality import AlarmKind
from web.text import CATALOGUE, COOKIE, NAMES, Language, for_scripts, language, text

ROOM = Path(web.__file__).parent
PAGES = "".join(path.read_text() for path in [*ROOM.rglob("*.html"), *ROOM.glob("pages/*.py"), *ROOM.glob("*.py")])
SCRIPTS = {path.name: path.read_text() for path in ROOM.rglob("*.js")}
LITERAL = re.compile(r"""\b(?:t|text)\(["']([a-z_.-]+)["'][,)]""")
PREFIX = re.compile(r"""\b(?:t|text)\(f?["']([a-z_.]+\.)(?:["'] ~|\{)""")
WORD = re.compile(r"""\bword\("([a-z0-9._]+)\"""")
WORD_OF = re.compile(r"""\bwordOf\("([a-z0-9._]+)\"""")
ENGLISH = CATALOGUE[Language.ENGLISH]
SAME = {"product", "live.unit.ms"}
"""What every language writes alike."""


def test_every_word_that_a_page_says_is_in_the_table() -> None:
    assert set(LITERAL.findall(PAGES)) <= set(ENGLISH)


def test_every_word_that_a_script_says_is_in_the_table() -> None:
    said = {word for script in SCRIPTS.values() for word in WORD.findall(script)}
    assert said
    assert said <= set(for_scripts())


def test_the_table_holds_nothing_that_nobody_says() -> None:
    scripts = "".join(SCRIPTS.values())
    prefixes = (*PREFIX.findall(PAGES), *(f"live.{kind}." for kind in WORD_OF.findall(scripts)))
    said = set(LITERAL.findall(PAGES)) | {f"live.{word}" for word in WORD.findall(scripts)}
    shown_by_the_light = {"live.connected", "live.connecting", "live.lost", "live.stale"}
    unsaid = {key for key in ENGLISH if key not in said | shown_by_the_light and not key.startswith(prefixes)}
    assert unsaid == set()


@pytest.mark.parametrize("its", Language)
def test_no_language_lacks_a_key_or_a_value_in_it(its: Language) -> None:
    def values(said: str) -> set[str | None]:
        return {field for _, field, _, _ in Formatter().parse(said) if field is not None}

    assert CATALOGUE[its].keys() == ENGLISH.keys()
    assert {key: values(said) for key, said in CATALOGUE[its].items()} == {
        key: values(said) for key, said in ENGLISH.items()
    }
    assert all(said.strip() for said in CATALOGUE[its].values())


def test_no_word_stands_in_two_tables() -> None:
    tables = [path for path in ROOM.glob("words/*.py") if "WORDS = {" in path.read_text()]
    keys = [key for path in tables for key in re.findall(r'^    "([^"]+)":', path.read_text(), re.MULTILINE)]
    assert len(keys) == len(Language) * len(ENGLISH)


def test_korean_is_korean() -> None:
    plain = {key for key, said in CATALOGUE[Language.KOREAN].items() if not re.search("[가-힣]", said)}
    alike = {key for key in plain if CATALOGUE[Language.KOREAN][key] == ENGLISH[key]}
    names = {key for key in plain if re.fullmatch(r"[A-Z]{2,}[a-z]*", CATALOGUE[Language.KOREAN][key])}
    assert plain <= alike | names
    assert alike <= names | SAME


@pytest.mark.parametrize(
    ("kind", "values"),
    [("state", HostState), ("state", MountPhase), ("state", CladnetState), ("role", Role), ("alarm", AlarmKind)],
)
def test_every_value_that_is_shown_has_words(kind: str, values: type) -> None:
    assert {f"live.{kind}.{each}" for each in values} <= set(ENGLISH)


@pytest.mark.parametrize(
    ("cookie", "accepted", "expected"),
    [
        ("", "", "en"), ("", "ko-KR,ko;q=0.9,en;q=0.5", "ko"), ("", "de,fr;q=0.5", "en"), ("en", "ko", "en"),
        ("ko", "en", "ko"), ("tlh", "ko", "ko"),
    ],
)  # fmt: skip
def test_the_reader_chooses_and_else_the_browser(cookie: str, accepted: str, expected: str) -> None:
    headers = {"Accept-Language": accepted} | ({"Cookie": f"{COOKIE}={cookie}"} if cookie else {})
    with Flask("test").test_request_context("/", headers=headers):
        assert language() == expected
        assert text("login.submit") == CATALOGUE[Language(expected)]["login.submit"]


def test_outside_of_a_request_it_is_english() -> None:
    assert language() is Language.ENGLISH
    assert NAMES.keys() == set(Language)


def test_no_script_reads_text_as_markup() -> None:
    for name, script in SCRIPTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|\.style\b", script), name


def test_no_page_holds_code_or_style_of_its_own() -> None:
    for path in ROOM.rglob("*.html"):
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script>|\|\s*safe", path.read_text()), path.name
