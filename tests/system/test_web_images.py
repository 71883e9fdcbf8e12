"""The images that a console hands out: whole or in parts, to whoever has a login, and only as they were signed."""

import hashlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import sealing
from contract import checked_client
from flask import Flask
from flask.testing import FlaskClient

from cladnet.etcd.store import Store
from larva import sealed
from web import access_tokens, accounts, downloads
from web.app import create_app
from web.roles import AccountRole

PASSWORD = "correct-horse-battery"
DISK = os.urandom(300_000)
QCOW2 = f"{sealing.STEM}.qcow2"


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This host's configuration, with the key whose images it believes."""
    monkeypatch.setenv("LARVA_CONFIG", str(tmp_path / "etc"))
    return tmp_path / "etc"


@pytest.fixture
def shelf(tmp_path: Path, keys: Path) -> Path:
    """Where the console finds images by default."""
    sealing.built(tmp_path / "images" / "full", keys, DISK)
    sealing.exported(tmp_path / "images" / "azure", keys, "azure", DISK)
    return tmp_path / "images"


@pytest.fixture
def app(console_etcd: str, console_store: Store, tmp_path: Path, shelf: Path) -> Iterator[Flask]:
    app = create_app(lambda: Store([console_etcd]), state_directory=tmp_path, secure=False)
    app.testing = False
    app.test_client_class = checked_client(app)
    accounts.create(console_store, "viewer", PASSWORD, AccountRole.VIEWER)
    yield app
    app.extensions["larva"].close()


@pytest.fixture
def client(app: Flask, console_store: Store) -> FlaskClient:
    client = app.test_client()
    client.open = partial(client.open, buffered=True)  # closes what was sent, as a server does
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'viewer')}"
    return client


def test_images_are_listed_with_what_is_signed_of_them(client: FlaskClient) -> None:
    azure, full = client.get("/v1/images").json["images"]
    assert (azure["id"], full["id"], azure["problem"], full["problem"]) == ("azure", "full", "", "")
    assert full["manifest"]["version"] == "0.1.0"
    assert full["signed"] == "larva 0.1.0 full disk/0123456789abcdef0123"
    sizes = {file["name"]: (file["bytes"], file["sha256"]) for file in full["files"]}
    assert sizes[QCOW2] == (len(DISK), hashlib.sha256(DISK).hexdigest())
    assert azure["export"]["format"] == "vhd"
    launch = azure["export"]["launch"]
    assert f"--file {sealing.STEM}.azure" in launch["commands"]
    assert launch["title"] == "Microsoft Azure"
    assert client.get("/v1/images/azure").json == azure
    assert client.get("/v1/images?limit=1").json["images"] == [azure]


def test_a_file_is_sent_whole_or_in_parts(client: FlaskClient) -> None:
    path = f"/v1/images/full/files/{QCOW2}"
    whole = client.get(path)
    assert (whole.status_code, whole.data, whole.headers["Accept-Ranges"]) == (200, DISK, "bytes")
    assert whole.headers["Content-Length"] == str(len(DISK))
    assert whole.headers["Content-Disposition"] == f"attachment; filename={QCOW2}"
    etag = whole.headers["ETag"]
    part = client.get(path, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.data) == (206, DISK[1000:2000])
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(DISK)}"
    rest = client.get(path, headers={"Range": f"bytes={len(DISK) - 7}-", "If-Range": etag})
    assert (rest.status_code, rest.data) == (206, DISK[-7:])
    other = client.get(path, headers={"Range": "bytes=5-", "If-Range": '"another"'})
    assert (other.status_code, other.data) == (200, DISK)
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
    head = client.head(path)
    assert (head.data, head.headers["Content-Length"]) == (b"", str(len(DISK)))


def test_so_many_files_are_sent_at_once_and_the_next_is_told_to_wait(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after those that were not sent at all: a caller that wants nothing, or what is not there."""
    monkeypatch.setattr(downloads, "_places", threading.BoundedSemaphore(2))
    path = f"/v1/images/full/files/{QCOW2}"
    etag = client.head(path).headers["ETag"]
    for headers, status in (({"If-None-Match": etag}, 304), ({"Range": "bytes=900000-"}, 416)):
        for _ in range(3):
            assert client.get(path, headers=headers).status_code == status
    one, two = (client.get(path, buffered=False) for _ in range(2))
    refused = client.get(path)
    assert (refused.status_code, refused.json["code"]) == (503, "unavailable")
    assert "sending" in refused.json["detail"]
    one.close()
    assert client.get(path).data == DISK
    two.close()


@pytest.mark.parametrize("asked", ["bytes=300000-", "bytes=-0", "bytes=9-3", "chapters=1-2", "bytes=0-1,5-6"])
def test_a_range_that_is_not_there_is_refused_with_its_size(client: FlaskClient, asked: str) -> None:
    answer = client.get(f"/v1/images/full/files/{QCOW2}", headers={"Range": asked})
    assert answer.status_code in (206, 416)
    if answer.status_code == 416:
        assert answer.json["code"] == "requested-range-not-satisfiable"
        assert answer.headers["Content-Range"] == f"bytes */{len(DISK)}"


def test_a_stranger_checks_what_he_fetched(client: FlaskClient, keys: Path, tmp_path: Path) -> None:
    got = tmp_path / "got"
    got.mkdir()
    for name in (QCOW2, "manifest.json", sealed.SUMS, sealed.SIGNATURE):
        (got / name).write_bytes(client.get(f"/v1/images/full/files/{name}").data)
    public = sealed.public_key(keys)
    subprocess.run(["minisign", "-V", "-p", public, "-m", sealed.SUMS], cwd=got, check=True, capture_output=True)
    subprocess.run(["sha256sum", "--strict", "-c", sealed.SUMS], cwd=got, check=True, capture_output=True)


def same_size(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(200_000)
        opened.write(bytes(byte ^ 1 for byte in DISK[200_000:200_008]))


def linked(file: Path) -> None:
    file.rename(file.parent.parent.parent / "elsewhere")
    file.symlink_to(file.parent.parent.parent / "elsewhere")


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("spoil", [same_size, linked, a_pipe, Path.unlink, lambda file: file.write_bytes(DISK + b"x")])
@pytest.mark.parametrize("fetched", [True, False])
def test_a_tampered_file_is_refused(
    client: FlaskClient, shelf: Path, spoil: Callable[[Path], object], fetched: bool
) -> None:
    path = f"/v1/images/full/files/{QCOW2}"
    assert not fetched or client.get(path).status_code == 200
    spoil(shelf / "full" / QCOW2)
    answer = client.get(path)
    assert (answer.status_code, answer.json["code"]) == (409, "not-as-signed")
    assert f"image full: {QCOW2} " in answer.json["detail"]
    assert "fetch it again" in answer.json["hint"]
    azure, full = client.get("/v1/images").json["images"]
    assert QCOW2 in full["problem"]
    assert full["files"] == []
    assert azure["problem"] == ""
    page = client.get("/images")
    assert page.status_code == 200
    assert "Not handed out" in page.text
    assert f"/v1/images/full/files/{QCOW2}" not in page.text


@pytest.mark.parametrize("name", ["manifest.json", sealed.SUMS, sealed.SIGNATURE])
def test_where_the_seal_is_broken_nothing_is_handed_out(client: FlaskClient, shelf: Path, name: str) -> None:
    content = (shelf / "full" / name).read_bytes()
    (shelf / "full" / name).write_bytes(content.replace(b"0", b"1"))
    _, full = client.get("/v1/images").json["images"]
    assert full["problem"]
    assert full["manifest"] is None
    assert client.get(f"/v1/images/full/files/{name}").status_code == 409
    if name != "manifest.json":
        assert client.get(f"/v1/images/full/files/{QCOW2}").status_code == 409


def test_an_image_of_another_publisher_is_refused(client: FlaskClient, shelf: Path, tmp_path: Path) -> None:
    sealing.built(shelf / "foreign", tmp_path / "other", DISK)
    (foreign,) = (each for each in client.get("/v1/images").json["images"] if each["id"] == "foreign")
    assert "not signed by the key" in foreign["problem"]
    assert client.get(f"/v1/images/foreign/files/{QCOW2}").json["code"] == "not-as-signed"


def test_without_a_publisher_s_key_nothing_is_believed(client: FlaskClient, keys: Path) -> None:
    sealed.public_key(keys).unlink()
    assert all("image-signing.pub is not there" in each["problem"] for each in client.get("/v1/images").json["images"])


@pytest.mark.parametrize(
    "path",
    ["none", f"none/files/{QCOW2}", "full/files/none", "full/files/..", "..", "../full", "full/files/%2e%2e%2fx"],
)
def test_what_is_not_there_is_not_found(client: FlaskClient, shelf: Path, path: str) -> None:
    (shelf / "x").write_text("beside the images")
    assert client.get(f"/v1/images/{path}").status_code == 404


def test_a_file_that_nobody_signed_is_not_there(client: FlaskClient, shelf: Path) -> None:
    (shelf / "full" / "extra").write_text("extra")
    assert client.get("/v1/images/full/files/extra").status_code == 404


def test_nobody_without_a_login_gets_one(app: Flask) -> None:
    for path in ("/v1/images", f"/v1/images/full/files/{QCOW2}"):
        assert app.test_client().get(path).status_code == 401
    assert app.test_client().get("/images").status_code == 303


def test_the_page_tells_how_each_is_launched(client: FlaskClient) -> None:
    page = client.get("/images").text
    assert f'href="/v1/images/azure/files/{sealing.STEM}.azure"' in page
    assert hashlib.sha256(DISK).hexdigest() in page
    for words in ("az storage blob upload", "Launch it: Microsoft Azure", "Standard_B1ms", "page blob", "UDP 51820"):
        assert words in page
    korean = client.get("/images", headers={"Accept-Language": "ko"}).text
    assert "띄우기: Microsoft Azure" in korean


def test_the_join_file_says_where_images_are(client: FlaskClient, shelf: Path, keys: Path) -> None:
    shelf.rename(shelf.with_name("moved"))
    assert client.get("/v1/images").json["images"] == []
    assert "No image lies here yet" in client.get("/images").text
    (keys / "join.toml").write_text(f'roles = ["control"]\n[control]\nimages = "{shelf.with_name("moved")}"\n')
    (keys / "join.toml").chmod(0o600)
    assert len(client.get("/v1/images").json["images"]) == 2


def test_a_published_directory_is_a_link_as_builds_make_it(client: FlaskClient, shelf: Path, tmp_path: Path) -> None:
    (shelf / "full").rename(tmp_path / "entry")
    (shelf / "full").symlink_to(tmp_path / "entry")
    assert client.get(f"/v1/images/full/files/{QCOW2}").data == DISK
