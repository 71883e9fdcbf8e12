"""The small parts of enrolment: TOML, sealing, identity, back-off, throttle, durations, units, etcd's configuration."""

import json
import tomllib
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cladnet import seal
from cladnet.commands import boot
from cladnet.commands import enrol as enrol_cli
from cladnet.control import etcd_config
from cladnet.control.etcd_config import EtcdSite, Ports
from cladnet.member import Identity, Member, prepare_state
from cladnet.model import CloudFacts, Role
from larva import backoff, files, toml
from larva.errors import InvalidInput, LarvaError, MalformedData, NotFound, Refused, Unavailable
from web.throttle import MOST_SOURCES, Throttle, TooManyFailures

plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = plain | st.integers(-(2**62), 2**62) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
tables = st.recursive(
    st.dictionaries(plain, scalars | st.lists(scalars, max_size=3), max_size=4),
    lambda inner: st.dictionaries(plain, inner | scalars, max_size=4),
    max_leaves=10,
)


@given(tables)
def test_toml_that_is_written_is_read_again(table: dict[str, Any]) -> None:
    assert tomllib.loads(toml.encode(table)) == table


def test_toml_has_no_word_for_none() -> None:
    assert tomllib.loads(toml.encode({"a": None, "b": {"c": None, "d": 1}})) == {"b": {"d": 1}}


@given(st.binary(max_size=200))
def test_what_is_sealed_for_a_host_only_that_host_opens(data: bytes) -> None:
    (mine, public), (foreign, _) = seal.new_pair(), seal.new_pair()
    box = seal.seal(public, data)
    assert seal.open_sealed(mine, box) == data
    with pytest.raises(Refused):
        seal.open_sealed(foreign, box)
    with pytest.raises(Refused):
        seal.open_sealed(mine, box[:-1] + bytes([box[-1] ^ 1]))


@pytest.mark.parametrize("key", ["", "not base64!", "AAAA", "A" * 48])
def test_what_is_no_key_seals_nothing(key: str) -> None:
    with pytest.raises(MalformedData):
        seal.seal(key, b"x")


def test_identity_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARVA_STATE", str(tmp_path / "state"))
    first = Identity.load()
    assert Identity.load() == first
    assert first.wireguard_private != first.seal_private
    assert first.wireguard_private not in repr(first)
    assert seal.open_sealed(first.seal_private, seal.seal(first.seal_public, b"x")) == b"x"


def test_membership_is_kept_in_a_secret_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARVA_STATE", str(tmp_path / "state"))
    with pytest.raises(NotFound):
        Member.load()
    prepare_state()
    member = Member(
        host="h",
        groups=("g",),
        roles=(Role.STORAGE, Role.MEMBER),
        server="https://x:8443",
        etcd_endpoints=("https://x:2379",),
        cloud=CloudFacts(provider='a"b'),
        storage_devices=(Path("/dev/sdb"),),
    )
    member.save()
    assert Member.load() == member
    assert (tmp_path / "state/member.toml").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o711
    assert (tmp_path / "state/tls").stat().st_mode & 0o777 == 0o700


def test_a_file_is_written_once(tmp_path: Path) -> None:
    assert files.write_once(tmp_path / "f", "first", mode=files.SECRET)
    assert not files.write_once(tmp_path / "f", "second", mode=files.SECRET)
    assert (tmp_path / "f").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_back_off_grows_and_is_bounded() -> None:
    clock = Clock()

    def attempt() -> None:
        clock.now += 0.1
        raise Unavailable("not there")

    with pytest.raises(Unavailable, match="not there"):
        backoff.retry(attempt, on=Unavailable, patience_s=120, doing="x", sleep=clock.sleep, clock=clock)
    assert 120 <= clock.now < 121
    assert max(clock.pauses) <= backoff.LONGEST_PAUSE_S
    assert clock.pauses[0] <= backoff.FIRST_PAUSE_S < clock.pauses[5]


def test_back_off_ends_with_success_or_with_an_error_that_time_does_not_heal() -> None:
    clock, answers = Clock(), iter([Unavailable("a"), Unavailable("b"), None, Refused("no")])

    def attempt() -> str:
        answer = next(answers)
        if answer:
            raise answer
        return "done"

    def retry() -> str:
        return backoff.retry(attempt, on=Unavailable, patience_s=60, doing="x", sleep=clock.sleep, clock=clock)

    assert retry() == "done"
    assert len(clock.pauses) == 2
    with pytest.raises(Refused):
        retry()
    assert len(clock.pauses) == 2


def allowed(throttle: Throttle, source: str) -> bool:
    try:
        throttle.check(source)
    except TooManyFailures:
        return False
    return True


def test_the_throttle_stops_who_fails_and_lets_go_with_time() -> None:
    clock = Clock()
    throttle = Throttle(failures=3, per_s=60, clock=clock)
    for _ in range(3):
        assert allowed(throttle, "a")
        throttle.failed("a")
    assert not allowed(throttle, "a")
    assert allowed(throttle, "b")
    clock.now += 20.1
    assert allowed(throttle, "a")
    throttle.failed("a")
    assert not allowed(throttle, "a")
    clock.now += 61
    assert allowed(throttle, "a")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 30)), max_size=60))
def test_nobody_fails_more_often_than_the_throttle_allows(steps: list[tuple[str, float]]) -> None:
    clock = Clock()
    throttle = Throttle(failures=3, per_s=30, clock=clock)
    failures: dict[str, list[float]] = {"a": [], "b": []}
    for source, pause in steps:
        clock.now += pause
        if allowed(throttle, source):
            throttle.failed(source)
            failures[source].append(clock.now)
    for times in failures.values():
        for start in times:
            assert sum(start <= each < start + 30 for each in times) <= 6


def test_the_throttle_forgets_rather_than_grows() -> None:
    throttle = Throttle(failures=1, per_s=60, clock=Clock())
    for number in range(MOST_SOURCES + 10):
        throttle.failed(str(number))
    assert allowed(throttle, "0")
    assert not allowed(throttle, str(MOST_SOURCES + 9))
    assert len(throttle._level) == MOST_SOURCES


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h", 3600), ("7d", 604800)])
def test_durations(text: str, seconds: float) -> None:
    assert enrol_cli.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "1w", "-1h", "1.5h", "1 h", "99999999s", "1h\n"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidInput):
        enrol_cli.duration_s(text)


def test_each_unit_is_started_once() -> None:
    assert boot.units_of((Role.STORAGE, Role.MEMBER)) == ("larva-agent.service", "larva-storage.service")
    assert "larva-storage.service" in boot.units_of((Role.MEMBER,)), "every member mounts volumes"
    assert boot.units_of((Role.CONTROL, Role.MEMBER))[0] == boot.ETCD_UNIT
    assert "larva-renew.timer" in boot.units_of((Role.CONTROL,)), "a control node may have no agent that would renew"
    assert {unit for role in Role for unit in boot.UNITS[role]} == set(boot.units_of(tuple(Role)))


def test_etcd_wants_certificates_of_clients_and_of_members_from_different_authorities() -> None:
    site = EtcdSite(
        host="c",
        public_address=IPv4Address("203.0.113.10"),
        directory=Path("/e"),
        revocation_list=Path("/r"),
        ports=Ports(),
    )
    told = json.loads(etcd_config.configuration(site))
    client, peer = told["client-transport-security"], told["peer-transport-security"]
    assert client["client-cert-auth"] is peer["client-cert-auth"] is True
    assert client["trusted-ca-file"] != peer["trusted-ca-file"]
    assert told["listen-client-urls"] == "https://0.0.0.0:2379"
    assert told["advertise-client-urls"] == "https://203.0.113.10:2379"


def test_every_error_of_a_refusal_has_a_code_of_its_own() -> None:
    from cladnet.enrol.enrolment import HostTaken, RoleRefused, TokenExpired, TokenUnknown

    leaves: list[type[LarvaError]] = [HostTaken, RoleRefused, TokenExpired, TokenUnknown]
    assert len({leaf.code for leaf in leaves}) == len(leaves)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--role", "storage", "--device", "/dev/vdb"], "--user-data"),
        (["--user-data", "--device", "/dev/vdb"], "--role storage"),
        (["--user-data", "--role", "storage", "--device", "vdb"], "start the path with /"),
    ],
)
def test_disks_are_for_the_user_data_of_storage_hosts(words: list[str], said: str) -> None:
    result = CliRunner().invoke(enrol_cli.enrol, ["token", "create", "--group", "demo", *words])
    assert result.exit_code == 2
    assert said in result.output
