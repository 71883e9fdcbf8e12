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


@pytest.mark.parametrize("command", [["net", "join", "shop", "aws-1"], ["net", "leave", "shop"]])
def test_a_command_without_a_route_says_so(client: Client, command: list[str]) -> None:
    refused = client.failing(*command)
    assert isinstance(refused, InvalidInput)
    assert f"`larva {command[0]} {command[1]}` does not go through the API" in refused.message.replace("root", "larva")
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
