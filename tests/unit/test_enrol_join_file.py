import tempfile
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet.enrol import user_data
from cladnet.enrol.join_file import Control, Join, JoinFile, Storage, check_server
from cladnet.model import CloudFacts, Role
from larva.errors import LarvaError, NotFound

PIN = "sha256:" + "0a" * 32
JOIN = f'[join]\nserver = "https://203.0.113.10:8443"\nca = "{PIN}"\ntoken = "t"\n'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LARVA_CONFIG", str(tmp_path))
    return tmp_path


def write(config: Path, text: str) -> None:
    (config / "join.toml").write_text(text)
    (config / "join.toml").chmod(0o600)


def test_the_whole_file_is_read(config: Path) -> None:
    write(
        config,
        'roles = ["storage", "member"]\nhost = "aws-1"\n' + JOIN + '[cloud]\nprovider = "aws"\nzone = "a"\n'
        '[storage]\ndevices = ["/dev/sdb"]\n[control]\npublic_address = "203.0.113.7"\n',
    )
    assert JoinFile.load() == JoinFile(
        roles=(Role.STORAGE, Role.MEMBER),
        host="aws-1",
        join=Join(server="https://203.0.113.10:8443", ca=PIN, token="t"),
        control=Control(public_address=IPv4Address("203.0.113.7")),
        cloud=CloudFacts(provider="aws", zone="a"),
        storage=Storage(devices=(Path("/dev/sdb"),)),
    )


def test_there_is_none(config: Path) -> None:
    with pytest.raises(NotFound):
        JoinFile.load()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("roles = [", "join.toml"),
        ('role = ["member"]\n' + JOIN, "role: unknown name"),
        (JOIN + 'tokn = "x"\n', "join.tokn: unknown name"),
        (JOIN + '[cloud]\nreigon = "x"\n', "cloud.reigon: unknown name"),
        ('roles = ["king"]\n' + JOIN, r"\$\.roles\[0\]"),
        ('roles = "member"\n' + JOIN, r"\$\.roles"),
        ("roles = []\n" + JOIN, "roles: no role"),
        ('roles = ["member", "member"]\n' + JOIN, "roles: a role is given twice"),
        (JOIN + 'servers = ["http://198.51.100.1:8443"]\n', r"join.servers\[0\]"),
        ('roles = ["member"]\n', "join: the section is missing"),
        ('host = "Not A Name"\n' + JOIN, "host 'Not A Name'"),
        (JOIN.replace("https", "http"), "join.server"),
        (JOIN.replace("0a0a", "0A0A"), "join.ca"),
        (JOIN.replace('"t"', '""'), "join.token"),
        (JOIN.replace('token = "t"', ""), r"token.*\$\.join"),
        ('join = "https://x"\n', r"\$\.join"),
        (JOIN + '[storage]\ndevices = ["sdb"]\n', r"storage.devices\[0\]"),
        ('roles = ["control"]\n[control]\nimages = "images"\n', "control.images: images is not absolute"),
        ('roles = ["control"]\n[control]\npublic_address = "example.org"\n', r"\$\.control\.public_address"),
    ],
)
def test_a_wrong_file_says_where(config: Path, text: str, told: str) -> None:
    write(config, text)
    with pytest.raises(LarvaError, match=told) as error:
        JoinFile.load()
    assert str(config / "join.toml") in error.value.message


def test_a_misspelt_name_is_corrected(config: Path) -> None:
    write(config, 'role = ["member"]\n')
    with pytest.raises(LarvaError) as error:
        JoinFile.load()
    assert error.value.hint == "did you mean roles?"


def test_a_file_that_others_can_read_is_closed(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(config, JOIN)
    (config / "join.toml").chmod(0o644)
    JoinFile.load()
    assert (config / "join.toml").stat().st_mode & 0o777 == 0o600
    assert "could be read by others" in caplog.text


def test_secrets_are_not_in_its_repr() -> None:
    shown = repr(JoinFile(join=Join(server="https://x", ca=PIN, token="hush"), control=Control(admin_password="hush")))
    assert "hush" not in shown


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(
    token=text,
    provider=text,
    password=text,
    devices=st.lists(st.sampled_from([Path("/dev/sdb"), Path("/a b/ü"), Path('/"quoted"')]), max_size=3),
)
def test_what_is_written_is_read_again(token: str, provider: str, password: str, devices: list[Path]) -> None:
    written = JoinFile(
        roles=(Role.STORAGE,),
        join=Join(server="https://x:1", ca=PIN, token=token),
        control=Control(admin_password=password),
        cloud=CloudFacts(provider=provider),
        storage=Storage(devices=tuple(devices)),
    )
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LARVA_CONFIG", directory)
        written.save()
        assert (Path(directory) / "join.toml").stat().st_mode & 0o777 == 0o600
        assert JoinFile.load() == written


@pytest.mark.parametrize("url", ["https://a", "https://203.0.113.10:8443", "https://[2001:db8::1]:8443", "https://a/"])
def test_addresses_of_a_console(url: str) -> None:
    assert check_server(url, what="x") == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["", "a:8443", "http://a", "https://", "https://a/path", "https://a?x", "https://u@a", "https://a:99999"]
)
def test_what_is_no_address_of_a_console(url: str) -> None:
    with pytest.raises(LarvaError):
        check_server(url, what="x")


@pytest.mark.parametrize("devices", [(), (Path("/dev/vdb"), Path("/var/osd.img"))])
def test_user_data_holds_the_join_file_that_cloud_init_will_write(devices: tuple[Path, ...]) -> None:
    join = JoinFile(
        roles=(Role.MEMBER,), join=Join(server="https://x:1", ca=PIN, token="t"), storage=Storage(devices=devices)
    )
    lines = user_data.cloud_config(join).splitlines()
    assert lines[0] == "#cloud-config"
    assert ("devices" in join.text()) == bool(devices), "what nobody set is not shown to people"
    start = lines.index("    content: |") + 1
    content = "\n".join(line.removeprefix("      ") for line in lines[start:]) + "\n"
    assert content == join.text()
