"""`larva placement recommend`: files it takes and refuses, a CLADNet's rows, and the output that its page shows."""

import json
import re
import shlex
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from click.testing import CliRunner

from cladnet.model import CloudFacts, HostState, HostStatus, PairLatency
from cladnet.network_hosts import HostView
from cladnet.placement.candidates import of_cladnet, read
from cladnet.placement.command import placement
from cladnet.placement.model import Rtt
from larva.errors import InvalidInput, LarvaError, MalformedData

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "placement-east-asia.toml"
HOSTS = '[[candidates]]\nhost = "a"\nprovider = "aws"\nregion = "r"\n[[candidates]]\nhost = "b"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "missing required field `candidates`"),
        ("candidates = 3", "Expected `array`"),
        ("candidates = [", "file.toml"),
        ("[[candidates]]\nprovider = 'aws'", "missing required field `host`"),
        ("[[candidates]]\nhost = ''", "candidates[0].host: expected a name"),
        ("[[candidates]]\nhost = 'a/b'", "candidates[0].host: 'a/b' cannot be a name"),
        ("[[candidates]]\nhost = 'a'\nzone = '?'", "candidates[0].zone: '?' cannot be a name"),
        (HOSTS + "[[candidates]]\nhost = 'a'", "candidates[2].host: 'a' is there already"),
        (HOSTS + "[[rtt]]\nbetween = ['a', 'c']\nms = 1", "rtt[0].between: no candidate is 'c' or in it"),
        (HOSTS + "[[rtt]]\nbetween = ['a', 'b']\nms = -1", "rtt[0].ms: -1.0 is no round-trip time"),
        (HOSTS + "[[rtt]]\nbetween = ['a', 'b']\nms = nan", "rtt[0].ms: nan is no round-trip time"),
        (HOSTS + "[[rtt]]\nbetween = ['a', 'b']\nms = inf", "rtt[0].ms: inf is no round-trip time"),
        (HOSTS + "[[rtt]]\nbetween = ['a', 'b']\nms = 'far'", "$.rtt[0].ms"),
        (HOSTS + "[[rtt]]\nbetween = ['a']\nms = 1", "$.rtt[0].between"),
        (HOSTS + "[[rtt]]\nbetween = ['a', 'a']\nms = 1", "'a' has no distance from itself"),
    ],
)
def test_a_malformed_file_is_refused_with_the_place(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "file.toml"
    file.write_text(text)
    with pytest.raises(MalformedData) as caught:
        read(file)
    assert says in caught.value.message
    assert str(file) in caught.value.message


def test_only_files_of_a_known_form_are_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="neither TOML nor JSON"):
        read(tmp_path / "hosts.csv")
    for suffix in ("toml", "json"):
        with pytest.raises(MalformedData, match="No such file"):
            read(tmp_path / f"absent.{suffix}")
    (tmp_path / "file.json").write_text("{")
    with pytest.raises(MalformedData):
        read(tmp_path / "file.json")


def test_json_and_toml_say_the_same(tmp_path: Path) -> None:
    toml, as_json = tmp_path / "file.toml", tmp_path / "file.json"
    toml.write_text(HOSTS + '[[rtt]]\nbetween = ["aws/r", "b"]\nms = 1.5\n')
    hosts = [{"host": "a", "provider": "aws", "region": "r"}, {"host": "b"}]
    as_json.write_text(json.dumps({"candidates": hosts, "rtt": [{"between": ["aws/r", "b"], "ms": 1.5}]}))
    assert read(toml) == read(as_json)
    assert read(toml).rtts == (Rtt(between=("aws/r", "b"), ms=1.5),)


def test_a_cladnet_gives_those_of_its_hosts_that_are_up() -> None:
    address = IPv4Address("10.0.0.1")

    def view(host: str, *, present: bool = True, state: HostState | None = HostState.ACTIVE) -> HostView:
        cloud = CloudFacts(provider="aws")
        return HostView(host=host, address=address, state=state, public_address=None, cloud=cloud, present=present)

    def latency(destination: str, sent: int, average: float | None) -> PairLatency:
        return PairLatency(
            destination=destination, destination_address=address, sent=sent, received=0 if average is None else sent,
            avg_ms=average,
        )  # fmt: skip

    row = HostStatus(
        host="a", test_id="1", measured_at=datetime.now(UTC), interface="cbnet0", datapath="wireguard",
        latencies=(latency("b", 3, 1.5), latency("c", 3, None), latency("d", 0, None)),
    )  # fmt: skip
    views = [view("a"), view("b"), view("c", present=False), view("d", state=HostState.DOWN), view("e", state=None)]
    found = of_cladnet(views, [row])
    assert [host.host for host in found.hosts] == ["a", "b"]
    assert found.rtts == (Rtt(between=("a", "b"), ms=1.5), Rtt(between=("a", "c"), ms=None))
    assert found.remarks == ("left out, since they are not up: c, d, e",)
    assert "no status test was run" in of_cladnet([view("a")], []).remarks[0]


def test_json_holds_the_whole_recommendation() -> None:
    arguments = ["recommend", "--nodes", "3", "--survive", "csp+region", "--candidates", str(EXAMPLE), "--json"]
    done = CliRunner().invoke(placement, arguments, catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["model"] == 5
    assert {member["site"]["csp"] for member in found["members"]} == {"aws", "azure", "gcp"}
    assert [verdict["model"] for verdict in found["verdicts"]] == [1, 2, 3, 4, 5]
    assert found["write_ms"] == min(member["write_ms"] for member in found["members"])


@pytest.mark.parametrize("arguments", [[], ["--candidates", str(EXAMPLE), "--net", "mynet"]])
def test_candidates_come_from_one_place(arguments: list[str]) -> None:
    done = CliRunner().invoke(placement, ["recommend", "--nodes", "3", "--survive", "zone", *arguments])
    assert isinstance(done.exception, InvalidInput)


def examples() -> list[tuple[str, str]]:
    """Every command of the page and the output that it shows."""
    return re.findall(
        r"```console\n\$ (?:sudo )?larva placement (.+)\n((?:.*\n)*?)```", (DOCS / "placement.md").read_text()
    )


@pytest.mark.parametrize(("command", "shown"), examples())
def test_the_page_shows_what_is_printed(command: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS.parent)
    done = CliRunner().invoke(placement, shlex.split(command))
    printed = done.stdout
    if isinstance(done.exception, LarvaError):
        printed += f"larva: {done.exception.message}\n  hint: {done.exception.hint}\n"
    else:
        assert done.exit_code == 0
    assert [line.rstrip() for line in printed.splitlines()] == [line.rstrip() for line in shown.splitlines()]


def test_the_page_has_examples() -> None:
    assert len(examples()) >= 3
