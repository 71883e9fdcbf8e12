"""Who may become a control node: the token for it and what it buys; and an accession that is killed at every step."""

import base64
import itertools
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from etcd3 import etcdrpc

from cladnet import keys, networks, seal
from cladnet.access.root import open_root
from cladnet.control import census, removal
from cladnet.control.etcd_members import EtcdMembers
from cladnet.enrol import authority, console_client, enrolment, handover, joining, membership
from cladnet.enrol.console_client import RefusedByServer
from cladnet.enrol.join_file import Join
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import EnrolmentToken, Role
from larva import codec, files
from larva.errors import InvalidInput, MalformedData, Refused

_ALL = etcdrpc.RangeRequest(key=b"\0", range_end=b"\0")
CONTROL = (Role.CONTROL,)
MEMBER = (Role.MEMBER,)


def control_token(node: Any, host: str) -> str:
    with node.store() as store:
        return enrolment.create_control_token(store, host=host, group="", roles=(), ttl_s=600)


def join_of(node: Any, token: str) -> Join:
    return Join(server=node.server, ca=node.authority().fingerprint(), token=token)


def ask(node: Any, *, token: str, host: str, roles: tuple[Role, ...], key: Any = None, seal_key: str = "") -> Any:
    """`POST /v1/enrol` as somebody sends it who writes his request by hand; the answer, parsed."""
    csr = authority.signing_request(key or authority.new_key(), host)
    body = codec.encode({"token": token, "csr": csr, "host": host, "roles": roles, "seal_key": seal_key})
    ca = node.authority().certificate_pem
    return json.loads(console_client.post_verified(node.server, "/v1/enrol", ca_pem=ca, body=body))


def refused(node: Any, **request: Any) -> str:
    with pytest.raises(RefusedByServer) as refusal:
        ask(node, **request)
    return refusal.value.code


def test_a_token_for_control_is_for_one_name_once(control_node: Any) -> None:
    token = control_token(control_node, "wanted")
    private, public = seal.new_pair()
    other = {"token": token, "host": "other", "seal_key": public}
    assert refused(control_node, **other, roles=CONTROL) == "host-refused"
    assert refused(control_node, **other, roles=MEMBER) == "role-refused"
    wish: dict[str, Any] = {"token": token, "host": "wanted", "roles": CONTROL}
    assert refused(control_node, **wish) == "invalid-input", "without a key to seal to"
    assert refused(control_node, **wish, seal_key="nonsense") == "malformed-data"

    key = authority.new_key()
    given = ask(control_node, **wish, key=key, seal_key=public)
    again = ask(control_node, **wish, key=key, seal_key=public)
    assert given["sealed"] != again["sealed"]
    assert "PRIVATE KEY" not in json.dumps(given)
    assert b"PRIVATE KEY" in seal.open_sealed(private, base64.b64decode(given["sealed"]))
    assert refused(control_node, **wish, seal_key=public) == "token-unknown", "another machine of that name"


def test_a_token_for_control_expires_within_a_day(control_node: Any) -> None:
    with control_node.store() as store:
        for ttl_s in (0, 86401):
            with pytest.raises(InvalidInput):
                enrolment.create_control_token(store, host="slow", group="", roles=(), ttl_s=ttl_s)
        token = control_token(control_node, "slow")
        found = store.get(keys.token(enrolment._digest(token)), EnrolmentToken)
        assert found is not None
        store.replace(found, replace(found.value, expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    _, public = seal.new_pair()
    assert refused(control_node, token=token, host="slow", roles=CONTROL, seal_key=public) == "token-expired"


def test_a_host_gets_no_key_of_an_authority(control_node: Any) -> None:
    """Not with a member's token, not with its own key and token once it is enrolled, not out of etcd, not in a log."""
    _, public = seal.new_pair()
    with control_node.store() as store:
        group = networks.create(store, name="seoul").id
        with pytest.raises(InvalidInput, match="role control"):
            enrolment.create_token(store, group=group, roles=CONTROL, ttl_s=60, uses=1)
        token = enrolment.create_token(store, group=group, roles=MEMBER, ttl_s=600, uses=1)
    wish: dict[str, Any] = {"token": token, "host": "plain", "seal_key": public}
    assert refused(control_node, **wish, roles=CONTROL) == "role-refused"
    key = authority.new_key()
    assert ask(control_node, **wish, roles=MEMBER, key=key)["sealed"] == ""
    assert refused(control_node, **wish, roles=CONTROL, key=key) == "role-refused"
    assert refused(control_node, **wish, roles=(Role.MEMBER, Role.CONTROL), key=key) == "role-refused"

    secret = control_token(control_node, "told")
    ask(control_node, token=secret, host="told", roles=CONTROL, seal_key=public)
    with control_node.store() as store:
        everything = store.cluster.call("read all", lambda end, seconds: end.kv.Range(_ALL, timeout=seconds))[0]
    written = [control_node.directory / f"{name}.log" for name in ("console", "etcd")]
    for text in [item.value for item in everything.kvs] + [path.read_bytes() for path in written]:
        assert b"PRIVATE KEY" not in text
        assert secret.encode() not in text


def test_what_was_sealed_for_others_or_by_others_is_not_kept(control_node: Any, as_host: Any, tmp_path: Path) -> None:
    private, public = seal.new_pair()
    with as_host(control_node.directory):
        sealed = handover.sealed_for(public)
    pinned = control_node.authority().fingerprint()
    with as_host(tmp_path):
        for box, key, ca, error in (
            (sealed, seal.new_pair()[0], pinned, Refused),
            (sealed, private, "sha256:" + "0" * 64, Refused),
            ("no base64!", private, pinned, MalformedData),
            (base64.b64encode(seal.seal(public, b"{}")).decode(), private, pinned, MalformedData),
        ):
            with pytest.raises(error):
                handover.keep(box, key, ca=ca, source="test")
        assert not (tmp_path / "state/ca").exists()
        handover.keep(sealed, private, ca=pinned, source="test")
        assert handover.is_kept()
    kept = [tmp_path / "state/ca/ca.key", tmp_path / "state/ca/members/ca.key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    assert kept[0].read_bytes() != kept[1].read_bytes()


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the code under test may catch it."""


EFFECTS = (
    (files, "write_whole"),
    (EtcdMembers, "add_learner"),
    (EtcdMembers, "promote"),
    (Store, "commit"),
)


@pytest.fixture
def killed_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Any, Callable[[], Any]], bool]:
    """killed_after(steps, node, work) → whether `work` was killed when it had done so many steps that last."""

    def run(steps: int, node: Any, work: Callable[[], Any]) -> bool:
        left = steps

        def killing(real: Any) -> Any:
            def effect(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                if left == 0:
                    raise Killed
                left -= 1
                return real(*args, **kwargs)

            return effect

        with monkeypatch.context() as patch:
            for owner, name in EFFECTS:
                patch.setattr(owner, name, killing(getattr(owner, name)))
            if node.etcd is None:  # what runs is not started again
                patch.setattr(node, "start_etcd", killing(node.start_etcd))
            try:
                work()
            except Killed:
                return True
            return False

    return run


def test_a_control_node_killed_after_any_step_of_its_enrolment_has_the_keys_after_the_next_boot(
    control_node: Any, control_node_factory: Any, as_host: Any, killed_after: Any
) -> None:
    for steps in itertools.count():
        node = control_node_factory(number=2)
        wanted = replace(node.wanted, join=join_of(control_node, control_token(control_node, "control-2")))
        with as_host(node.directory):
            killed = killed_after(steps, node, lambda wanted=wanted: joining.enrol(wanted))
            member = joining.enrol(wanted)
            assert member == Member.load()
            assert handover.is_kept()
        for kept in ("ca.key", "members/ca.key"):
            path = node.directory / "state/ca" / kept
            assert path.read_bytes() == (control_node.directory / "state/ca" / kept).read_bytes()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with control_node.store() as store:
            membership.remove_host(store, "control-2")
        if not killed:
            break
    assert steps > 6, "an enrolment has more steps than that"


def test_an_accession_killed_after_every_step_is_finished_by_the_next_boots(
    control_node: Any, control_node_factory: Any, as_host: Any, killed_after: Any
) -> None:
    """Each boot gets one step further than the last and is killed there."""
    node = control_node_factory(number=2)
    join = join_of(control_node, control_token(control_node, "control-2"))
    with as_host(node.directory):
        joining.enrol(replace(node.wanted, join=join))
    boots = 1
    while killed_after(1, node, lambda: node.accede(join)):
        boots += 1
        assert boots < 100, "some boot came no further than the last"
    assert boots > 12, "an accession has more steps than that"
    with as_host(node.directory):
        member = Member.load()
    assert node.accede(join) == member
    with as_host(control_node.directory), open_root() as root:
        me = Member.load()
        assert {each.host: each.state for each in census.look(root, me)} == {
            "control-1": "healthy", "control-2": "healthy",
        }  # fmt: skip
        assert len(enrolment.control_plane(root).etcd_endpoints) == 2
        assert [each.host for each in removal.remove(root, me, "control-2")] == ["control-1"]
        assert "control-2" not in {each.host for each in membership.enrolled_hosts(root)}
    node.kill()


def test_a_newcomer_that_never_comes_is_removed(
    control_node: Any, control_node_factory: Any, as_host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was let into etcd and its machine is lost before etcd ran there: the others kept their majority meanwhile."""
    node = control_node_factory(number=3)
    join = join_of(control_node, control_token(control_node, "control-3"))

    def lost(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(node, "start_etcd", lost)
    with pytest.raises(Killed):
        node.accede(join)
    with as_host(control_node.directory), open_root() as root:
        me = Member.load()
        assert {each.host: each.state for each in census.look(root, me)}["control-3"] == "joining"
        assert len(enrolment.control_plane(root).etcd_endpoints) == 1, "nobody is sent there"
        assert [each.host for each in removal.remove(root, me, "control-3")] == ["control-1"]
        assert len(EtcdMembers(root.cluster).list()) == 1
