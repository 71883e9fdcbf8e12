"""Every word of the pages is in the one table, and the table holds no word that nobody says."""

import re
from pathlib import Path

import web
from web.text import ENGLISH, for_scripts

ROOM = Path(web.__file__).parent
PAGES = "".join(path.read_text() for path in [*ROOM.rglob("*.html"), *ROOM.glob("pages/*.py")])
SCRIPTS = {path.name: path.read_text() for path in ROOM.rglob("*.js")}
LITERAL = re.compile(r"""\b(?:t|text)\(["']([a-z_.-]+)["'][,)]""")
PREFIX = re.compile(r"""\bt\(["']([a-z_.]+\.)["'] ~""")
WORD = re.compile(r"""\bword\("([a-z.]+)\"""")


def test_every_word_that_a_page_says_is_in_the_table() -> None:
    assert set(LITERAL.findall(PAGES)) <= set(ENGLISH)


def test_every_word_that_a_script_says_is_in_the_table() -> None:
    said = {word for script in SCRIPTS.values() for word in WORD.findall(script)}
    assert said
    assert said <= set(for_scripts())


def test_the_table_holds_nothing_that_nobody_says() -> None:
    prefixes = tuple(PREFIX.findall(PAGES))
    said = set(LITERAL.findall(PAGES)) | {
        f"live.{word}" for script in SCRIPTS.values() for word in WORD.findall(script)
    }
    shown_by_the_light = {"live.connected", "live.connecting", "live.lost", "live.stale"}
    unsaid = {key for key in ENGLISH if key not in said | shown_by_the_light and not key.startswith(prefixes)}
    assert unsaid == set()


def test_no_script_reads_text_as_markup() -> None:
    for name, script in SCRIPTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|\.style\b", script), name


def test_no_page_holds_code_or_style_of_its_own() -> None:
    for path in ROOM.rglob("*.html"):
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script>|\|\s*safe", path.read_text()), path.name
