"""`larva … --server`: the same commands through a real console over TLS, with the same answers and exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import stage
from click.testing import CliRunner, Result

from cbstorage import keys as storage_keys
from cbstorage.model import VolumeState
from cbstorage.wanted import mounting, snapshots, volumes
from cladnet import keys, networks
from cladnet.enrol.authority import Authority, key_pem, new_key
from cladnet.etcd.store import Store
from larva.cli import larva
from larva.errors import ExitCode, InvalidInput, LarvaError, NotFound, Refused, Unavailable
from web import access_tokens, accounts
from web.roles import AccountRole

PASSWORD = "correct-horse-battery"


class Client:
    """A machine that is no control node: it has a token, a CA and the console's address."""

    def __init__(self, directory: Path, server: str) -> None:
        self.directory = directory
        self.options = {
            "--server": server, "--token-file": str(directory / "token"), "--ca": str(directory / "ca.pem"),
        }  # fmt: skip

    def token(self, token: str) -> None:
        (self.directory / "token").write_text(f"{token}\n")
        (self.directory / "token").chmod(0o600)

    def run(self, *command: str, **options: str | None) -> Result:
        """Run a command through the API; an option that is None is left out."""
        told = self.options | {f"--{name.replace('_', '-')}": value for name, value in options.items()}  # type: ignore[operator]
        given = [word for name, value in told.items() if value is not None for word in (name, value)]
        return CliRunner().invoke(larva, [*command, *given])

    def failing(self, *command: str, **options: str | None) -> LarvaError:
        """Run a command that is refused; return the error that becomes the exit code."""
        done = self.run(*command, **options)
        assert isinstance(done.exception, LarvaError), (done.output, done.exception)
        return done.exception

    def json(self, *command: str) -> object:
        done = self.run(*command, "--json")
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout)


@pytest.fixture
def client(
    console_etcd: str, console_store: Store, serve_console: Callable[..., str], tmp_path: Path
) -> Iterator[Client]:
    """An administrator's machine; nothing of it reaches etcd."""
    authority, key = Authority.found(tmp_path / "ca"), new_key()
    issued = authority.issue_server(key.public_key(), common_name="console", addresses=[IPv4Address("127.0.0.1")])
    for name, content in (
        ("c.pem", issued.pem),
        ("c.key", key_pem(key).decode()),
        ("ca.pem", authority.certificate_pem),
    ):
        (tmp_path / name).write_text(content)
    url = serve_console(
        "--certificate", tmp_path / "c.pem", "--key", tmp_path / "c.key", etcd=console_etcd, password=PASSWORD
    )
    accounts.create(console_store, "kim", PASSWORD, AccountRole.ADMIN)
    made = Client(tmp_path, url)
    made.token(token := access_tokens.create(console_store, "kim"))
    yield made
    assert PASSWORD not in (tmp_path / "console.log").read_text()
    assert token not in (tmp_path / "console.log").read_text()


def test_a_cladnet_lives_through_the_api(client: Client, console_store: Store) -> None:
    made = client.json("net", "create", "10.77.0.0/24", "--name", "shop", "--description", "가게", "--quarantine", "5")
    assert networks.find(console_store, "shop").description == "가게"
    assert client.json("net", "show", "shop") == made
    assert client.json("net", "list") == [made]
    changed = client.json("net", "update", "shop", "--rule", "basic", "--name", "store", "--description", "")
    assert (changed["rule_type"], changed["name"], changed["description"]) == ("basic", "store", "")
    assert changed["address_quarantine_s"] == 5
    assert client.json("net", "recommend", "--hosts", "100")["hosts"] >= 100
    assert client.run("net", "delete", "store", "--yes", "--wait", "0").exit_code == 0
    assert networks.find(console_store, "store").state == "deleting"
    assert client.failing("net", "delete", "store", "--yes", "--wait", "0.1").exit_code is ExitCode.TEMPORARY
    console_store.delete(keys.configuration(made["id"]))
    assert client.failing("net", "show", "store").exit_code is ExitCode.NOT_FOUND


LOOKS = [
    ["net", "list"], ["net", "show", "shop"], ["net", "hosts", "shop"], ["net", "quality", "shop"],
    ["net", "alarms", "shop"], ["net", "recommend"],
    ["placement", "recommend", "--net", "shop", "--nodes", "3", "--survive", "csp"],
]  # fmt: skip


STORAGE_LOOKS = [
    ["storage", "status"], ["storage", "status", "--group", "shop"], ["storage", "osd", "list"], ["volume", "list"],
    ["volume", "list", "--group", "shop"], ["volume", "show", "photos"], ["volume", "promises"],
    ["volume", "snapshot", "list", "photos"], ["volume", "trash", "list"],
]  # fmt: skip


def test_every_look_at_storage_is_the_same_as_over_etcd(
    client: Client, console_store: Store, console_etcd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = networks.create(console_store, name="shop", cidr="192.168.10.0/26").id
    networks.create(console_store, name="without-storage")
    stage.set_up(console_store, group)
    volumes.create(console_store, group, "photos", 1 << 30)
    volumes.create(console_store, group, "old", 1 << 30)
    snapshots.create(console_store, group, "photos", "before")
    snapshots.schedule(console_store, group, "photos", every_s=3600, keep=5)
    mounting.mount(console_store, group, "photos", ["aws-1", "gcp-1"], "/srv/photos")
    monkeypatch.setattr(Store, "of_this_host", classmethod(lambda cls: Store([console_etcd])))
    for look in STORAGE_LOOKS:
        for more in ([], ["--json"]):
            over_etcd = CliRunner().invoke(larva, [*look, *more])
            through_api = client.run(*look, *more)
            assert over_etcd.exit_code == through_api.exit_code == 0, (look, through_api.exception)
            assert over_etcd.stdout == through_api.stdout
            assert over_etcd.stdout.strip()


def test_a_volume_lives_through_the_api(client: Client, console_store: Store) -> None:
    group = networks.create(console_store, name="shop", cidr="192.168.10.0/26").id
    stage.set_up(console_store, group)
    made = client.json("volume", "create", "photos", "--size", "1G", "--for", "aws-1", "--for", "gcp-1")
    assert (made["size_bytes"], made["status"], len(made["shares"])) == (1 << 30, "pending", 2)
    waited = client.failing("volume", "resize", "photos", "--size", "2G", "--wait", "0.1")
    assert (waited.exit_code, "no storage host has set it yet" in waited.message) == (ExitCode.TEMPORARY, True)
    state = VolumeState(id=made["id"], ready=True, size_bytes=2 << 30, used_bytes=7)
    console_store.put(storage_keys.volume_state(group, "photos"), state)
    assert client.json("volume", "resize", "photos", "--size", "2G", "--wait", "9")["status"] == "ready"
    mounted = client.json("volume", "mount", "photos", "--on", "aws-1", "--at", "/srv/photos", "--read-only")
    assert [(one["host"], one["read_only"]) for one in mounted["mounts"]] == [("aws-1", True)]
    assert (
        client.failing("volume", "mount", "photos", "--on", "azure-1", "--at", "/srv/x").exit_code is ExitCode.CONFLICT
    )
    waited = client.failing("volume", "mount", "photos", "--all", "--at", "/srv/photos", "--read-only", "--wait", "0.1")
    assert "gcp-1: has not answered yet" in waited.message
    assert client.failing("volume", "delete", "photos", "--yes").exit_code is ExitCode.CONFLICT
    assert client.json("volume", "unmount", "photos", "--all", "--wait", "9")["mounts"] == []
    assert client.json("volume", "snapshot", "create", "photos", "one")["name"] == "one"
    assert (
        client.failing("volume", "snapshot", "create", "photos", "two", "--wait", "0.1").exit_code is ExitCode.TEMPORARY
    )
    assert client.run("volume", "schedule", "photos", "--every", "1h", "--keep", "3").exit_code == 0
    assert client.json("volume", "snapshot", "list", "photos")["schedule"]["keep"] == 3
    assert client.run("volume", "schedule", "photos", "--off").exit_code == 0
    assert client.json("volume", "snapshot", "list", "photos")["schedule"] is None
    assert client.run("volume", "snapshot", "delete", "photos", "one").exit_code == 0
    assert client.run("volume", "delete", "photos", "--yes", "--keep", "1h").exit_code == 0
    assert volumes.find(console_store, group, "photos").status == "deleting"
    assert client.failing("volume", "undelete", "photos").exit_code is ExitCode.NOT_FOUND
    assert client.failing("volume", "purge", "photos", "--yes").exit_code is ExitCode.NOT_FOUND


def test_without_storage_or_with_too_much_of_it_what_to_do_is_told(client: Client, console_store: Store) -> None:
    assert client.failing("volume", "show", "photos").exit_code is ExitCode.NOT_FOUND
    for name, cidr in (("shop", "192.168.10.0/26"), ("lab", "192.168.11.0/26")):
        stage.set_up(console_store, networks.create(console_store, name=name, cidr=cidr).id, cidr=cidr)
    told = client.failing("storage", "status")
    assert "several storage clusters" in told.message
    assert "lab-" in told.hint
    assert client.run("storage", "status", "--group", "lab").exit_code == 0


def test_a_promise_that_cannot_be_kept_is_refused_before_it_is_shown(client: Client, console_store: Store) -> None:
    stage.set_up(console_store, networks.create(console_store, name="shop", cidr="192.168.10.0/26").id)
    refused = client.failing("volume", "create", "photos", "--size", "1G", "--survive", "csp", "--home", "ibm")
    assert refused.exit_code is ExitCode.USAGE
    assert client.json("volume", "list") == []


def test_every_look_is_the_same_as_over_etcd(
    client: Client, console_store: Store, console_etcd: str, agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = networks.create(console_store, name="shop", cidr="10.77.0.0/24").id
    stage.set_up(console_store, group)
    for number, host in enumerate(("aws-1", "gcp-1", "azure-1")):
        agents.join(group, host, number)
    monkeypatch.setattr(Store, "of_this_host", classmethod(lambda cls: Store([console_etcd])))
    for look in LOOKS:
        for more in ([], ["--json"]):
            over_etcd = CliRunner().invoke(larva, [*look, *more])
            through_api = client.run(*look, *more)
            assert over_etcd.exit_code == through_api.exit_code == 0, (look, through_api.exception)
            assert over_etcd.stdout == through_api.stdout
            assert over_etcd.stdout.strip()


def test_a_status_test_is_asked_for_and_its_rows_come(client: Client, console_store: Store, agents) -> None:
    group = networks.create(console_store, name="shop", cidr="10.77.0.0/24").id
    agents.join(group, "aws-1", 0)
    done = client.run("net", "status", "shop", "--wait", "0.1", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])
    assert console_store.exists(keys.test_specification(group))


def test_refusals_keep_their_exit_codes(client: Client, console_store: Store) -> None:
    client.run("net", "create", "10.77.0.0/24", "--name", "shop")
    missing = client.failing("net", "show", "nothing")
    assert (missing.exit_code, missing.hint) == (ExitCode.NOT_FOUND, "CLADNets: shop")
    assert client.failing("net", "create", "--name", "shop").exit_code is ExitCode.CONFLICT
    assert client.failing("net", "create", "--name", "No Name").exit_code is ExitCode.USAGE
    assert client.failing("net", "update", "shop").exit_code is ExitCode.USAGE
    accounts.create(console_store, "lee", PASSWORD, AccountRole.VIEWER)
    client.token(access_tokens.create(console_store, "lee"))
    assert client.run("net", "list").exit_code == 0
    refused = client.failing("net", "create", "--name", "lab")
    assert (refused.exit_code, "lee is viewer" in refused.message) == (ExitCode.REFUSED, True)


def test_a_token_that_is_none_is_told_and_not_repeated(client: Client) -> None:
    client.token("larva-wrong-secret")
    refused = client.failing("net", "list")
    assert isinstance(refused, Refused)
    assert "wrong-secret" not in f"{refused.message}{refused.hint}"
    client.token("two\nlines-of-secret")
    refused = client.failing("net", "list")
    assert isinstance(refused, InvalidInput)
    assert "secret" not in refused.message
    client.token("")
    assert isinstance(client.failing("net", "list"), InvalidInput)
    assert isinstance(client.failing("net", "list", token_file=str(client.directory / "none")), NotFound)
    assert isinstance(client.failing("net", "list", token_file=None), InvalidInput)


def test_a_server_that_cannot_prove_who_it_is_is_told_nothing(client: Client, tmp_path: Path) -> None:
    other = Authority.found(tmp_path / "other")
    (tmp_path / "other.pem").write_text(other.certificate_pem)
    refused = client.failing("net", "list", ca=str(tmp_path / "other.pem"))
    assert isinstance(refused, Refused)
    assert "cannot prove who it is" in refused.message
    assert isinstance(client.failing("net", "list", ca=None), Refused), "the machine's own CAs know nothing of it"
    by_name = client.options["--server"].replace("127.0.0.1", "localhost")
    assert isinstance(client.failing("net", "list", server=by_name), Refused)


def test_a_ca_or_an_address_that_is_none_is_told(client: Client) -> None:
    assert isinstance(client.failing("net", "list", ca=str(client.directory / "none")), NotFound)
    assert isinstance(client.failing("net", "list", ca=str(client.directory / "token")), InvalidInput)
    for server in ("http://127.0.0.1:1", "127.0.0.1:8443", "https://kim:secret@127.0.0.1"):
        refused = client.failing("net", "list", server=server)
        assert isinstance(refused, InvalidInput)
        assert "kim:secret" not in refused.message
    assert isinstance(client.failing("net", "list", server="https://127.0.0.1:1"), Unavailable)
    assert isinstance(client.failing("net", "list", server=None), InvalidInput)


WITHOUT = [
    ["net", "join", "shop", "aws-1"], ["net", "leave", "shop"], ["volume", "connections", "photos"],
    ["volume", "share", "photos", "--with", "aws-1"], ["storage", "init", "--group", "shop"],
    ["storage", "osd", "drain", "0"],
]  # fmt: skip


@pytest.mark.parametrize("command", WITHOUT)
def test_a_command_without_a_route_says_so_and_asks_nobody(command: list[str], tmp_path: Path) -> None:
    refused = Client(tmp_path, "https://127.0.0.1:1").failing(*command)
    assert isinstance(refused, InvalidInput)
    words = " ".join(command[: 3 if command[1] == "osd" else 2])
    assert f"{words}` does not go through the API" in refused.message
    assert "control node" in refused.hint


def test_names_are_told_as_they_are(client: Client) -> None:
    for name in ("../users", "a/b", "%2e%2e", "?x=1", "가게"):
        assert client.failing("net", "show", name).exit_code in (ExitCode.NOT_FOUND, ExitCode.USAGE)


def test_the_program_takes_all_of_it_from_its_environment(client: Client) -> None:
    told = {"LARVA_SERVER": client.options["--server"], "LARVA_TOKEN_FILE": client.options["--token-file"],
            "LARVA_CA": client.options["--ca"]}  # fmt: skip
    program = Path(sys.executable).with_name("larva")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *words], env={**os.environ, **told}, capture_output=True, text=True, timeout=120, check=False
        )

    listed = run("net", "list", "--json")
    assert (listed.returncode, json.loads(listed.stdout)) == (0, [])
    missing = run("net", "show", "nothing")
    assert missing.returncode == ExitCode.NOT_FOUND
    assert "there is no CLADNet 'nothing'" in missing.stderr
    refused = run("net", "join", "shop", "aws-1")
    assert refused.returncode == ExitCode.USAGE
    assert "`larva net join` does not go through the API" in refused.stderr
