"""Renewal of a running host's certificate, over a real console and a real etcd; and all that must be refused."""

import base64
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cladnet import keys, networks
from cladnet.access.root import open_root, root_tls
from cladnet.agent.renewal import CertificateKeeper
from cladnet.control import own_certificates
from cladnet.control.own_certificates import CALLING, Use
from cladnet.enrol import authority, enrolment, joining, membership, renewal
from cladnet.enrol.join_file import Join, JoinFile
from cladnet.etcd.store import Store
from cladnet.following import FollowingStore
from cladnet.member import Member, tls_files
from cladnet.model import CladnetSpecification, EnrolledHost, RevokedCertificate, Role
from larva import codec
from larva.errors import Conflict, LarvaError
from tests.system.test_enrol_api import ask


@pytest.fixture(scope="module")
def cladnet(control_node: Any) -> CladnetSpecification:
    with control_node.store() as store:
        return networks.create(store, name="seoul", cidr="10.77.0.0/16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """A host whose certificate has ten minutes left of 70: it began an hour ago."""

    host: str
    key: ec.EllipticCurvePrivateKey
    certificate: str

    def body(self, **changed: Any) -> bytes:
        csr = authority.signing_request(self.key, self.host)
        with_key = changed.pop("key", self.key)
        proof = renewal.prove(
            with_key, host=changed.pop("host", self.host), csr=csr, certificate=changed.pop("of", self.certificate)
        )
        signature = base64.b64encode(proof.signature).decode()
        sent = {"host": proof.host, "csr": csr, "certificate": proof.certificate, "signature": signature}
        return codec.encode(sent | changed)


@pytest.fixture
def bear(
    control_node: Any, cladnet: CladnetSpecification, as_host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Bearer]:
    def make(host: str) -> Bearer:
        with control_node.store() as store:
            token = enrolment.create_token(store, group=cladnet.id, roles=(Role.MEMBER,), ttl_s=600, uses=1)
        join = Join(server=control_node.server, ca=control_node.authority().fingerprint(), token=token)
        with as_host(tmp_path):
            joining.enrol(JoinFile(roles=(Role.MEMBER,), host=host, join=join))
            tls = tls_files()
            key = authority.read_key(tls.key)
            with monkeypatch.context() as short:
                short.setattr(authority, "LEAF_LIFETIME", timedelta(minutes=10))
                signed = control_node.authority().sign_client(authority.signing_request(key, host), host)
            with control_node.store() as store:
                record = store.get(keys.enrolled_host(host), EnrolledHost)
                assert enrolment.issue_again(store, record, signed, ())
            tls.certificate.write_text(signed.pem)
        return Bearer(host=host, key=key, certificate=signed.pem)

    return make


def post(control_node: Any, body: bytes, source: str) -> tuple[int, dict[str, Any]]:
    response, answer = ask(control_node, "POST", "/v1/renew", body, source=source)
    return response.status, json.loads(answer)


def test_a_running_host_renews_and_its_connections_go_on(
    control_node: Any, bear: Any, as_host: Any, cladnet: CladnetSpecification, tmp_path: Path
) -> None:
    old = bear("renews")
    stop, renewed = threading.Event(), threading.Event()
    with as_host(tmp_path), closing(FollowingStore.of_this_host()) as store:
        before = store.cluster.endpoints
        watched = store.watch([keys.configuration(cladnet.id)])
        items = iter(watched)
        next(items)

        def note() -> None:
            store.reopen_if_renewed()
            renewed.set()

        keeper = threading.Thread(target=CertificateKeeper(note).run, args=(stop,))
        keeper.start()
        try:
            assert renewed.wait(60)
        finally:
            stop.set()
            keeper.join(timeout=20)
        assert not set(before) & set(store.cluster.endpoints), "every channel is another one"
        assert store.get(keys.configuration(cladnet.id), CladnetSpecification) is not None
        with control_node.store() as control:
            networks.update(control, cladnet.id, name="seoul-2")
        assert next(items), "the watch goes on, over a channel with the new certificate"
        watched.close()
        assert not store.cluster.reopen_if_renewed(), "once is enough"
        assert not CertificateKeeper(note).look(), "nor is the new one due"
        pem = tls_files().certificate.read_text()
        with Store.of_this_host() as another:
            assert another.get(keys.configuration(cladnet.id), CladnetSpecification) is not None
    new = authority.read_certificate(pem, source="new")
    assert new.public_key() == old.key.public_key()
    with control_node.store() as control:
        record = control.get(keys.enrolled_host("renews"), EnrolledHost).value
        assert record.certificate_serial == f"{new.serial_number:x}"
        was = f"{authority.read_certificate(old.certificate, source='old').serial_number:x}"
        assert was in record.earlier_serials
        membership.remove_host(control, "renews")
        revoked = control.children(keys.REVOKED, RevokedCertificate)
    assert {record.certificate_serial, was} <= revoked.keys(), "removal revokes both"


def test_who_may_not_renew_is_told_why(control_node: Any, bear: Any, tmp_path: Path) -> None:
    good = bear("bearer")
    others = authority.new_key()
    foreign = authority.Authority.found(tmp_path / "foreign")
    stranger = foreign.sign_client(authority.signing_request(good.key, "bearer"), "bearer").pem
    fresh = control_node.authority().sign_client(authority.signing_request(good.key, "bearer"), "bearer").pem
    refused = [
        (good.body(host="other"), 403, "certificate-of-another"),
        (good.body(csr=authority.signing_request(others, "bearer")), 403, "certificate-of-another"),
        (good.body(key=others), 403, "proof-wrong"),
        (good.body(csr=authority.signing_request(good.key, "bearer")), 403, "proof-wrong"),
        (good.body(of=stranger), 403, "certificate-foreign"),
        (good.body(of=fresh), 403, "not-due"),
        (good.body(signature="no base64!"), 400, "malformed-data"),
        (good.body(certificate="none"), 400, "malformed-data"),
        (good.body(csr="x" * 20_000), 413, "request-entity-too-large"),
    ]
    for body, status, code in refused:
        found = post(control_node, body, "127.0.0.21")
        assert (found[0], found[1]["code"]) == (status, code)
    status, answer = post(control_node, good.body(), "127.0.0.21")
    assert (status, answer["host"], answer["sealed"]) == (201, "bearer", "")


def test_an_expired_certificate_renews_nothing(control_node: Any, bear: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    late = bear("late")
    monkeypatch.setattr(authority, "LEAF_LIFETIME", timedelta(minutes=-10))
    ended = control_node.authority().sign_client(authority.signing_request(late.key, "late"), "late").pem
    assert post(control_node, late.body(of=ended), "127.0.0.22")[1]["code"] == "certificate-expired"


def test_a_removed_host_renews_nothing_nor_by_the_name_of_its_successor(control_node: Any, bear: Any) -> None:
    gone = bear("gone")
    with control_node.store() as store:
        membership.remove_host(store, "gone")
    assert post(control_node, gone.body(), "127.0.0.23")[1]["code"] == "certificate-revoked"
    # As if the revocation were forgotten, after a restore: the record alone refuses.
    with control_node.store() as store:
        serial = f"{authority.read_certificate(gone.certificate, source='gone').serial_number:x}"
        store.delete(keys.revoked(serial))
    assert post(control_node, gone.body(), "127.0.0.23")[1]["code"] == "host-unknown"
    successor = authority.new_key()
    with control_node.store() as store:
        taken = EnrolledHost(
            host="gone", groups=(), roles=(Role.MEMBER,), certificate_serial="1",
            enrolled_at=datetime.now(UTC), key_digest=authority.key_digest(successor.public_key()),
        )  # fmt: skip
        store.create(keys.enrolled_host("gone"), taken)
    assert post(control_node, gone.body(), "127.0.0.23")[1]["code"] == "certificate-of-another"


def test_nobody_collects_more_certificates_than_his_removal_can_revoke(control_node: Any, bear: Any) -> None:
    greedy = bear("greedy")
    body, seen = greedy.body(), []
    for _ in range(enrolment.MOST_EARLIER_SERIALS + 1):
        status, answer = post(control_node, body, "127.0.0.24")
        if status != 201:
            break
        seen.append(f"{authority.read_certificate(answer['certificate_pem'], source='given').serial_number:x}")
    assert (status, answer["code"]) == (403, "too-many-certificates")
    with control_node.store() as store:
        membership.remove_host(store, "greedy")
        assert set(seen) <= store.children(keys.REVOKED, RevokedCertificate).keys()


def test_nor_does_who_asks_with_its_used_token_again_and_again(
    control_node: Any, cladnet: CladnetSpecification
) -> None:
    with control_node.store() as store:
        token = enrolment.create_token(store, group=cladnet.id, roles=(Role.MEMBER,), ttl_s=600, uses=1)
        csr, given = authority.signing_request(authority.new_key(), "forgetful"), set()

        def asks() -> None:
            answer = enrolment.redeem(
                store, control_node.authority(), secret=token, csr_pem=csr, host="forgetful", roles=(Role.MEMBER,)
            )
            found = authority.read_certificate(answer.certificate_pem, source="given")
            given.add(f"{found.serial_number:x}")

        for _ in range(enrolment.MOST_EARLIER_SERIALS + 1):
            asks()
        sent = codec.encode({"token": token, "csr": csr, "host": "forgetful"})
        response, answer = ask(control_node, "POST", "/v1/enrol", sent, source="127.0.0.26")
        assert (response.status, json.loads(answer)["code"]) == (403, "too-many-certificates")
        membership.remove_host(store, "forgetful")
        assert given <= store.children(keys.REVOKED, RevokedCertificate).keys()


def test_who_keeps_failing_has_to_wait(control_node: Any, bear: Any) -> None:
    body = bear("hasty").body(key=authority.new_key())
    codes = [post(control_node, body, "127.0.0.25")[1]["code"] for _ in range(25)]
    assert (codes[0], codes[-1]) == ("proof-wrong", "too-many-failures")


def test_a_console_that_is_gone_is_left_for_another(control_node: Any, bear: Any, as_host: Any, tmp_path: Path) -> None:
    bear("patient")
    with as_host(tmp_path):
        keeper = CertificateKeeper(lambda: None)
        before = tls_files().certificate.read_bytes()
        me = Member.load()
        replace(me, server="https://127.0.0.1:9", servers=()).save()
        with pytest.raises(LarvaError):
            keeper.look()
        assert tls_files().certificate.read_bytes() == before
        replace(me, server="https://127.0.0.1:9", servers=("https://127.0.0.1:9", control_node.server)).save()
        assert keeper.look()
        assert tls_files().certificate.read_bytes() != before


def late() -> datetime:
    """When what is issued now is due."""
    return datetime.now(UTC) + timedelta(days=300)


def serial_in(path: Path) -> str:
    return f"{authority.read_certificate(path.read_text(), source=str(path)).serial_number:x}"


def served(node: Any, port: int, use: Use) -> str:
    """The serial number of the certificate that a server of the control node shows at a new handshake."""
    with_certificate = node.directory / ("state/etcd/peer.pem" if use is Use.PEER else "state/tls/client.pem")
    ca = node.directory / ("state/ca/members/ca.pem" if use is Use.PEER else "state/ca/ca.pem")
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(with_certificate, with_certificate.with_suffix(".key"))
    name = str(node.address)
    with (
        socket.create_connection((name, port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        shown = secured.getpeercert()
    assert shown is not None
    return str(shown["serialNumber"]).lower().lstrip("0")


def test_a_control_node_renews_its_own_certificates_and_serves_the_new_ones_without_a_restart(
    control_node: Any, as_host: Any
) -> None:
    ports = {
        Use.CONSOLE: control_node.ports.console, Use.ETCD: control_node.ports.client, Use.PEER: control_node.ports.peer,
    }  # fmt: skip
    pids = control_node.etcd.pid, control_node.console.pid
    with as_host(control_node.directory), open_root() as root:
        paths = own_certificates.paths()
        before = {use: serial_in(path) for use, path in paths.items()}
        owners = {use: path.stat().st_uid for use, path in paths.items()}
        assert {use: served(control_node, port, use) for use, port in ports.items()} == {u: before[u] for u in ports}
        kept = own_certificates.renew(open_root, clock=late)
        assert {each.use for each in kept if each.why_renewed} == set(Use)
        after = {use: serial_in(path) for use, path in paths.items()}
        assert not set(after.values()) & set(before.values())
        assert {use: served(control_node, port, use) for use, port in ports.items()} == {u: after[u] for u in ports}
        assert {use: path.stat().st_uid for use, path in paths.items()} == owners, "etcd reads its files still"
        assert (control_node.etcd.poll(), control_node.console.poll()) == (None, None)
        assert (control_node.etcd.pid, control_node.console.pid) == pids
        assert root.cluster.reopen_if_renewed(), "a service that is root goes over to the new certificate"
        record = root.get(keys.enrolled_host("control-1"), EnrolledHost).value
        assert record.certificate_serial == after[Use.CLIENT]
        of_both = {each[use] for each in (before, after) for use in CALLING}
        assert of_both <= {record.certificate_serial, *record.earlier_serials}, "its removal revokes them all"
        assert not any(each.why_renewed for each in own_certificates.renew(open_root)), "none is due"
        assert root.get(keys.enrolled_host("control-1"), EnrolledHost).value == record
    with control_node.store() as store:
        assert store.get(keys.enrolled_host("control-1"), EnrolledHost) is not None


def test_a_renewal_that_is_killed_leaves_no_certificate_that_is_in_no_record(
    control_node: Any, as_host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    write = own_certificates._write

    def die(use: Use, *rest: Any) -> None:
        if use in CALLING:
            raise Killed
        write(use, *rest)

    with as_host(control_node.directory), open_root() as root:
        paths = own_certificates.paths()
        before = {use: serial_in(path) for use, path in paths.items()}
        with monkeypatch.context() as deadly:
            deadly.setattr(own_certificates, "_write", die)
            with pytest.raises(Killed):
                own_certificates.renew(open_root, clock=late)
        assert {use for use, path in paths.items() if serial_in(path) != before[use]} == set(Use) - CALLING
        own_certificates.renew(open_root, clock=late)
        # As a command that found root's certificate nearly ended and nobody who would record it.
        paths[Use.ROOT].unlink()
        root_tls()
        own_certificates.renew(open_root)
        record = root.get(keys.enrolled_host("control-1"), EnrolledHost).value
        now = {serial_in(paths[use]) for use in CALLING}
        assert now <= {record.certificate_serial, *record.earlier_serials}


def test_the_command_tells_what_it_did_and_a_removed_node_what_to_do(control_node: Any, as_host: Any) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        here = {"LARVA_STATE": f"{control_node.directory}/state", "LARVA_CONFIG": f"{control_node.directory}/config"}
        larva = Path(sys.executable).with_name("larva")
        argv = [larva, "control", "renew", *words]
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=120, env={**os.environ, **here}, check=False
        )

    done = run("--json")
    assert done.returncode == 0, done.stderr
    assert [each["why_renewed"] for each in json.loads(done.stdout)] == [""] * len(Use)
    with as_host(control_node.directory), open_root() as root:
        key = keys.enrolled_host("control-1")
        record = root.get(key, EnrolledHost).value
        root.delete(key)
        try:
            with pytest.raises(Conflict, match="was removed"):
                own_certificates.renew(open_root)
        finally:
            root.create(key, record)
