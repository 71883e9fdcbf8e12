"""A host joins a founded control node over real TLS, a real console and a real etcd; and all that must refuse it."""

import contextlib
import http.client
import ssl
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cladnet import keys, networks
from cladnet.enrol import authority, enrolment, joining, membership
from cladnet.enrol.authority import Authority
from cladnet.enrol.console_client import RefusedByServer
from cladnet.enrol.join_file import Join, JoinFile
from cladnet.etcd.store import Store, TlsFiles
from cladnet.member import Identity, Member
from cladnet.model import CladnetSpecification, EnrolledHost, EnrolmentToken, RevokedCertificate, Role
from larva.errors import Conflict, NotFound, Refused, Unavailable

MEMBER = (Role.MEMBER,)


@pytest.fixture(scope="module")
def cladnet(control_node: Any) -> CladnetSpecification:
    with control_node.store() as store:
        return networks.create(store, name="seoul", cidr="10.77.0.0/16")


@pytest.fixture
def make_token(control_node: Any, cladnet: CladnetSpecification) -> Callable[..., str]:
    def make(*, roles: tuple[Role, ...] = MEMBER, ttl_s: float = 3600, uses: int = 1) -> str:
        with control_node.store() as store:
            return enrolment.create_token(store, group=cladnet.id, roles=roles, ttl_s=ttl_s, uses=uses)

    return make


def wish(control_node: Any, token: str, host: str, *, roles: tuple[Role, ...] = MEMBER) -> JoinFile:
    join = Join(server=control_node.server, ca=control_node.authority().fingerprint(), token=token)
    return JoinFile(roles=roles, host=host, join=join)


def enrolled(control_node: Any, host: str) -> EnrolledHost | None:
    with control_node.store() as store:
        found = store.get(keys.enrolled_host(host), EnrolledHost)
        return found.value if found else None


def uses_left(control_node: Any, token: str) -> int:
    with control_node.store() as store:
        found = store.get(keys.token(enrolment._digest(token)), EnrolmentToken)
        return found.value.uses_left if found else 0


def test_a_host_with_a_good_token_joins_and_reads_etcd(
    control_node: Any, cladnet: CladnetSpecification, make_token: Any, as_host: Any, tmp_path: Path
) -> None:
    token = make_token(roles=(Role.STORAGE, Role.MEMBER), uses=2)
    with as_host(tmp_path):
        wanted = wish(control_node, token, "joins", roles=(Role.STORAGE, Role.MEMBER))
        member = joining.enrol(wanted)
        assert member == Member.load()
        assert (member.host, member.groups) == ("joins", (cladnet.id,))
        with Store.of_this_host() as store:
            found = store.get(keys.configuration(cladnet.id), CladnetSpecification)
            assert found is not None
            assert found.value.name == "seoul"
        assert wanted.join is not None
        assert joining.enrol(replace(wanted, join=replace(wanted.join, token="never asked for again"))) == member
        identity = Identity.load()
        assert identity == Identity.load()
    host = enrolled(control_node, "joins")
    assert host is not None
    assert (host.groups, host.roles) == ((cladnet.id,), (Role.STORAGE, Role.MEMBER))
    assert uses_left(control_node, token) == 1
    secrets = [
        *(tmp_path / "state/identity").iterdir(),
        tmp_path / "state/tls/client.key",
        tmp_path / "state/member.toml",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_a_wrong_fingerprint_stops_at_once_and_shows_no_token(
    control_node: Any, make_token: Any, as_host: Any, tmp_path: Path
) -> None:
    token = make_token()
    wanted = wish(control_node, token, "mistrusts")
    assert wanted.join is not None
    wrong = replace(wanted, join=replace(wanted.join, ca="sha256:" + "0" * 64))
    with as_host(tmp_path), pytest.raises(joining.WrongAuthority):
        joining.enrol(wrong, patience_s=600)
    assert uses_left(control_node, token) == 1
    assert not (tmp_path / "state/member.toml").exists()


def test_an_impostor_with_the_right_ca_certificate_but_not_its_key_gets_no_token(
    control_node: Any, make_token: Any, as_host: Any, tmp_path: Path
) -> None:
    """Whoever stands in between can show the public ca.pem, but not a server certificate that it signed."""
    foreign = Authority.found(tmp_path / "foreign")
    key = authority.new_key()
    certificate = foreign.issue_server(key.public_key(), common_name="localhost", names=["localhost"])
    (tmp_path / "server.pem").write_text(certificate.pem + authority.key_pem(key).decode())
    posted: list[bytes] = []
    with impostor(tmp_path / "server.pem", control_node.authority().certificate_pem, posted) as port:
        wanted = wish(control_node, make_token(), "betrayed")
        assert wanted.join is not None
        there = replace(wanted, join=replace(wanted.join, server=f"https://localhost:{port}"))
        with as_host(tmp_path), pytest.raises(Refused, match="cannot prove who it is"):
            joining.enrol(there, patience_s=600)
    assert posted == []


@contextlib.contextmanager
def impostor(certificate: Path, ca_pem: str, posted: list[bytes]) -> Any:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(ca_pem.encode())

        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(timeout=20)


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (lambda make, control: "a" * 52, "token-unknown"),
        (lambda make, control: "", "token-unknown"),
        (lambda make, control: used_up(make, control), "token-unknown"),
        (lambda make, control: revoked(make, control), "token-unknown"),
        (lambda make, control: expired(make, control), "token-expired"),
    ],
    ids=["unknown", "empty", "used up", "revoked", "expired"],
)
def test_a_bad_token_is_refused_at_once(
    control_node: Any, make_token: Any, as_host: Any, tmp_path: Path, prepare: Any, code: str
) -> None:
    token = prepare(make_token, control_node)
    with as_host(tmp_path), pytest.raises(RefusedByServer) as refusal:
        joining.enrol(wish(control_node, token, "refused"), patience_s=600)
    assert refusal.value.code == code
    assert refusal.value.hint
    assert enrolled(control_node, "refused") is None
    assert not (tmp_path / "state/member.toml").exists()


def used_up(make: Any, control: Any) -> str:
    token: str = make(uses=1)
    redeem(control, token, f"user-{token[:8]}")
    return token


def revoked(make: Any, control: Any) -> str:
    token: str = make()
    with control.store() as store:
        enrolment.revoke_token(store, token)
    return token


def expired(make: Any, control: Any) -> str:
    token: str = make()
    with control.store() as store:
        found = store.get(keys.token(enrolment._digest(token)), EnrolmentToken)
        assert found is not None
        store.replace(found, replace(found.value, expires_at=found.value.expires_at.replace(year=2020)))
    return token


def redeem(control: Any, token: str, host: str, *, roles: tuple[Role, ...] = MEMBER, key: Any = None) -> Any:
    request = authority.signing_request(key or authority.new_key(), host)
    with control.store() as store:
        return enrolment.redeem(store, control.authority(), secret=token, csr_pem=request, host=host, roles=roles)


def test_a_token_does_not_give_more_roles_than_it_allows(
    control_node: Any, make_token: Any, as_host: Any, tmp_path: Path
) -> None:
    token = make_token(roles=MEMBER)
    for roles in ((Role.STORAGE, Role.MEMBER), (Role.CONTROL,)):
        with as_host(tmp_path), pytest.raises(RefusedByServer) as refusal:
            joining.enrol(wish(control_node, token, "climber", roles=roles))
        assert refusal.value.code == "role-refused"
    assert uses_left(control_node, token) == 1


def test_a_taken_name_costs_no_use_and_its_holder_keeps_it(
    control_node: Any, make_token: Any, as_host: Any, tmp_path: Path
) -> None:
    token = make_token(uses=2)
    redeem(control_node, token, "taken")
    holder = enrolled(control_node, "taken")
    with as_host(tmp_path), pytest.raises(RefusedByServer, match="taken") as refusal:
        joining.enrol(wish(control_node, token, "taken"))
    assert refusal.value.code == "host-taken"
    assert enrolled(control_node, "taken") == holder
    assert uses_left(control_node, token) == 1


def test_the_last_use_of_a_token_goes_to_one_of_many(control_node: Any, make_token: Any) -> None:
    token = make_token(uses=1)
    outcomes: list[str] = []
    together = threading.Barrier(8)

    def attempt(number: int) -> None:
        together.wait()
        try:
            outcomes.append(redeem(control_node, token, f"racer-{number}").host)
        except enrolment.TokenUnknown:
            outcomes.append("")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(outcomes) == 8
    [winner] = [outcome for outcome in outcomes if outcome]
    assert [n for n in range(8) if enrolled(control_node, f"racer-{n}")] == [int(winner.removeprefix("racer-"))]


def test_one_name_goes_to_one_of_many_and_costs_one_use(control_node: Any, make_token: Any) -> None:
    token = make_token(uses=8)
    outcomes: list[str] = []
    together = threading.Barrier(6)

    def attempt() -> None:
        together.wait()
        try:
            outcomes.append(redeem(control_node, token, "coveted").certificate_pem)
        except enrolment.HostTaken:
            outcomes.append("")

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(outcomes) == 6
    assert sum(map(bool, outcomes)) == 1
    assert uses_left(control_node, token) == 7


def test_asking_again_with_the_same_key_is_no_second_use_and_needs_the_same_token(
    control_node: Any, make_token: Any
) -> None:
    token, other, key = make_token(uses=1), make_token(uses=1), authority.new_key()
    first = redeem(control_node, token, "again", key=key)
    second = redeem(control_node, token, "again", key=key)
    assert first.certificate_pem != second.certificate_pem
    with pytest.raises(enrolment.HostTaken):
        redeem(control_node, other, "again", key=key)
    with pytest.raises(enrolment.RoleRefused):
        redeem(control_node, token, "again", key=key, roles=(Role.STORAGE,))
    with pytest.raises(enrolment.TokenUnknown):
        redeem(control_node, token, "again")
    assert uses_left(control_node, other) == 1


def test_every_certificate_that_a_removed_host_was_given_is_revoked(control_node: Any, make_token: Any) -> None:
    token, key = make_token(uses=1), authority.new_key()
    given = [redeem(control_node, token, "renewer", key=key).certificate_pem for _ in range(3)]
    with control_node.store() as store:
        membership.remove_host(store, "renewer")
        revoked = store.children(keys.REVOKED, RevokedCertificate)
    for pem in given:
        serial = f"{authority.read_certificate(pem, source='given').serial_number:x}"
        assert revoked[serial].value.host == "renewer"


def test_a_removed_host_frees_its_name_and_must_buy_it_again(control_node: Any, make_token: Any) -> None:
    token, key = make_token(uses=1), authority.new_key()
    redeem(control_node, token, "leaver", key=key)
    with control_node.store() as store:
        membership.remove_host(store, "leaver")
        with pytest.raises(NotFound):
            membership.remove_host(store, "leaver")
    with pytest.raises(enrolment.TokenUnknown):
        redeem(control_node, token, "leaver", key=key)
    assert redeem(control_node, make_token(), "leaver").host == "leaver"


def test_a_host_is_put_into_further_networks_and_out_of_them(control_node: Any, make_token: Any) -> None:
    redeem(control_node, make_token(), "wanderer")
    with control_node.store() as store:
        second = networks.create(store, name="busan", cidr="10.78.0.0/16")
        first = membership.join_group(store, host="wanderer", group=second.id).groups[0]
        assert membership.join_group(store, host="wanderer", group=second.id).groups == (first, second.id)
        assert membership.leave_group(store, host="wanderer", group=first).groups == (second.id,)
        with pytest.raises(NotFound):
            membership.leave_group(store, host="wanderer", group=first)
        with pytest.raises(NotFound):
            membership.join_group(store, host="wanderer", group="nowhere")
        with pytest.raises(NotFound):
            membership.join_group(store, host="nobody", group=second.id)


def test_a_host_of_another_system_is_not_taken_over(
    control_node: Any, make_token: Any, as_host: Any, tmp_path: Path
) -> None:
    wanted = wish(control_node, make_token(), "loyal")
    assert wanted.join is not None
    with as_host(tmp_path):
        member = joining.enrol(wanted)
        with pytest.raises(Conflict, match="another system"):
            joining.enrol(replace(wanted, join=replace(wanted.join, ca="sha256:" + "0" * 64)))
        assert Member.load() == member


def test_a_server_that_is_not_there_is_tried_again_and_then_given_up(
    control_node: Any, as_host: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = wish(control_node, "t", "early")
    assert wanted.join is not None
    nowhere = replace(wanted, join=replace(wanted.join, server="https://127.0.0.1:9"))
    with as_host(tmp_path), pytest.raises(Unavailable, match="does not answer"):
        joining.enrol(nowhere, patience_s=1)
    assert "trying again" in caplog.text


@pytest.mark.parametrize(("good_for", "comes_up"), [(timedelta(days=30), True), (timedelta(days=-1), False)])
def test_a_renewal_that_nobody_answers_holds_up_no_host_whose_certificate_is_good(
    control_node: Any, make_token: Any, as_host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    good_for: timedelta, comes_up: bool,
) -> None:  # fmt: skip
    with as_host(tmp_path):
        wanted = wish(control_node, make_token(), f"renews-{good_for.days % 100}")
        member = joining.enrol(wanted)
        assert wanted.join is not None
        monkeypatch.setattr(joining, "_left", lambda certificate: good_for)
        nowhere = replace(wanted, join=replace(wanted.join, server="https://127.0.0.1:9"))
        replace(member, servers=()).save()
        if comes_up:
            assert replace(joining.enrol(nowhere), server=member.server, servers=member.servers) == member
        else:
            with pytest.raises(Unavailable):
                joining.enrol(nowhere, patience_s=0.5)
        assert joining.enrol(wanted) == member


def test_a_certificate_is_renewed_by_any_console_that_is_known(
    control_node: Any, make_token: Any, as_host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with as_host(tmp_path):
        wanted = wish(control_node, make_token(), "keeps-on")
        member = joining.enrol(wanted)
        assert member.servers == (control_node.server,)
        assert wanted.join is not None
        monkeypatch.setattr(joining, "_left", lambda certificate: timedelta(days=-1))
        before = (tmp_path / "state/tls/client.pem").read_bytes()
        gone = replace(wanted, join=replace(wanted.join, server="https://127.0.0.1:9"))
        assert joining.enrol(gone) == member, "the console that user-data names is no more: the known one stands"
        assert (tmp_path / "state/tls/client.pem").read_bytes() != before


def test_a_new_host_asks_the_further_consoles_of_its_join_file(
    control_node: Any, make_token: Any, as_host: Any, tmp_path: Path
) -> None:
    token = make_token()
    wanted = wish(control_node, token, "asks-on")
    assert wanted.join is not None
    servers = ("https://127.0.0.1:9", control_node.server)
    with as_host(tmp_path):
        joining.enrol(replace(wanted, join=replace(wanted.join, server=servers[0], servers=servers[1:])), patience_s=30)
    assert uses_left(control_node, token) == 0


def test_etcd_turns_away_who_has_no_certificate_of_ours(
    control_node: Any, make_token: Any, as_host: Any, tmp_path: Path
) -> None:
    with as_host(tmp_path):
        joining.enrol(wish(control_node, make_token(), "honest"))
        foreign = Authority.found(tmp_path / "foreign")
        key = authority.new_key()
        (tmp_path / "key").write_bytes(authority.key_pem(key))
        (tmp_path / "pem").write_text(foreign.sign_client(authority.signing_request(key, "honest"), "honest").pem)
        tls = TlsFiles(ca=tmp_path / "state/tls/ca.pem", certificate=tmp_path / "pem", key=tmp_path / "key")
    endpoint = f"https://127.0.0.1:{control_node.ports.client}"
    with Store([endpoint], tls=tls, timeout=2) as store, pytest.raises(Unavailable):
        store.get(keys.CONTROL_PLANE, str)
    ca = tmp_path / "state/tls/ca.pem"
    mine = (tmp_path / "state/tls/client.pem", tmp_path / "state/tls/client.key")
    assert tls_answers(control_node.ports.client, ca, mine)
    assert not tls_answers(control_node.ports.client, ca, None)
    peer_ca = control_node.directory / "state/etcd/peer-ca.pem"
    assert not tls_answers(control_node.ports.peer, peer_ca, mine), "a host must not pass for a member of etcd"


def tls_answers(port: int, ca: Path, client: tuple[Path, Path] | None) -> bool:
    context = ssl.create_default_context(cafile=str(ca))
    if client:
        context.load_cert_chain(*client)
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.request("GET", "/version")
        connection.getresponse().read()
    except ssl.SSLCertVerificationError:
        raise
    except (ssl.SSLError, ConnectionError, http.client.BadStatusLine):
        return False
    finally:
        connection.close()
    return True
