"""Static files: compressed for who takes them so, kept by the browser, and few enough for a slow line."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import web
from web.app import create_app

STATIC = Path(web.__file__).parent / "static"
TEMPLATES = STATIC.parent / "templates"
IMPORT = re.compile(r"""from "\./([a-z/.-]+)\"""")
LARGEST_PAGE_BYTES = 300_000


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """A console without its etcd."""
    app: Flask = create_app(lambda: pytest.fail("etcd is not asked"), state_directory=tmp_path, secure=False)
    return app.test_client()


def get(client: FlaskClient, path: str, **headers: str) -> TestResponse:
    return client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()}, buffered=True)


def test_a_script_travels_compressed_for_who_takes_it_so(client: FlaskClient) -> None:
    plain = get(client, "/static/topology.js")
    assert "Content-Encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["Vary"]
    small = get(client, "/static/topology.js", Accept_Encoding="br, gzip")
    assert small.headers["Content-Encoding"] == "gzip"
    assert int(small.headers["Content-Length"]) == len(small.data) < len(plain.data) / 2
    assert gzip.decompress(small.data) == plain.data
    assert small.mimetype == plain.mimetype == "text/javascript"
    assert get(client, "/static/topology.js", Accept_Encoding="gzip;q=0").data == plain.data


def test_what_the_browser_has_is_not_sent_again(client: FlaskClient) -> None:
    first = get(client, "/static/topology.js", Accept_Encoding="gzip")
    again = get(client, "/static/topology.js", Accept_Encoding="gzip", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.data) == (304, b"")


def test_pages_and_answers_are_never_compressed(client: FlaskClient) -> None:
    for path in ("/login", "/v1/ca.pem", "/static/nothing.js"):
        assert "Content-Encoding" not in get(client, path, Accept_Encoding="gzip").headers, path


def modules(name: str) -> Iterator[str]:
    """A script and all that it loads."""
    seen, left = set(), [name]
    while left:
        if (script := left.pop()) not in seen:
            seen.add(script)
            left += IMPORT.findall((STATIC / script).read_text())
    yield from seen


@pytest.mark.parametrize("page", sorted(path.name for path in TEMPLATES.glob("*.html")))
def test_no_page_loads_more_than_a_slow_line_carries(client: FlaskClient, page: str) -> None:
    scripts = re.findall(r"filename='([a-z]+\.js)'", (TEMPLATES / page).read_text())
    files = {"console.css", "larva.svg", *(module for script in scripts for module in modules(script))}
    sizes = {file: len(get(client, f"/static/{file}", Accept_Encoding="gzip").data) for file in sorted(files)}
    assert all(sizes.values()), "run `make setup`: a library is missing"
    assert sum(sizes.values()) < LARGEST_PAGE_BYTES, sizes
    assert ("vendor/cytoscape.mjs" in files) == (page == "topology.html")
