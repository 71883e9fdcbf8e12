"""Changes by the API: lost updates are refused, creations are done once, and who changed what is written down."""

import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import stage
from contract import checked_client
from flask import Flask
from flask.testing import FlaskClient

from cladnet import keys, networks
from cladnet.etcd.store import Condition, Lease, Put, Store
from cladnet.trust.signature import split
from larva.errors import Unavailable
from web import access_tokens, accounts, audit, idempotency, recording
from web.app import create_app
from web.audit import Doing, Entry
from web.recording import RecordedStore
from web.roles import AccountRole

PASSWORD = "correct-horse-battery"


@pytest.fixture
def app(console_etcd: str, console_store: Store, tmp_path: Path) -> Iterator[Flask]:
    app = create_app(lambda: Store([console_etcd]), state_directory=tmp_path, secure=False)
    app.testing = False
    app.test_client_class = checked_client(app)
    accounts.create(console_store, "admin", PASSWORD, AccountRole.ADMIN)
    yield app
    app.extensions["larva"].close()


@pytest.fixture
def program(app: Flask, console_store: Store) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'admin')}"
    return client


def entries(store: Store) -> list[Entry]:
    return list(audit.newest_first(store))


def test_a_change_of_what_was_seen_is_made_and_of_anything_else_refused(program: FlaskClient) -> None:
    program.post("/v1/cladnets", json={"name": "shop"})
    seen = program.get("/v1/cladnets/shop").headers["ETag"]
    first = program.patch("/v1/cladnets/shop", json={"description": "one"}, headers={"If-Match": seen})
    assert first.status_code == 200
    late = program.patch("/v1/cladnets/shop", json={"description": "two"}, headers={"If-Match": seen})
    assert (late.status_code, late.json["code"]) == (412, "precondition-failed")
    assert program.get("/v1/cladnets/shop").json["description"] == "one"
    now = first.headers["ETag"]
    assert now == program.get("/v1/cladnets/shop").headers["ETag"] != seen
    assert program.patch("/v1/cladnets/shop", json={"name": "mall"}, headers={"If-Match": now}).status_code == 200
    for wrong in ('"nonsense"', '"1"', now, ""):
        refused = program.delete("/v1/cladnets/mall", headers={"If-Match": wrong})
        assert refused.status_code == 412, wrong
    assert program.delete("/v1/cladnets/mall", headers={"If-Match": "*"}).status_code == 204


def test_a_change_that_nothing_is_left_of_is_refused_all_the_same(program: FlaskClient) -> None:
    program.post("/v1/cladnets", json={"name": "shop", "description": "one"})
    wish = {"description": "one"}
    assert program.patch("/v1/cladnets/shop", json=wish, headers={"If-Match": '"1"'}).status_code == 412
    assert program.patch("/v1/cladnets/shop", json=wish).status_code == 200


def test_volumes_and_accounts_are_guarded_too(program: FlaskClient, console_store: Store) -> None:
    group = networks.create(console_store, name="shop").id
    stage.set_up(console_store, group)
    volume = "/v1/cladnets/shop/volumes/photos"
    program.post("/v1/cladnets/shop/volumes", json={"name": "photos", "size_bytes": 1 << 30})
    seen = {"If-Match": program.get(volume).headers["ETag"]}
    assert program.post(f"{volume}/resize", json={"size_bytes": 2 << 30}, headers=seen).status_code == 202
    assert program.post(f"{volume}/resize", json={"size_bytes": 3 << 30}, headers=seen).status_code == 412
    assert program.delete(volume, headers=seen).status_code == 412
    program.post("/v1/users", json={"name": "kim", "password": PASSWORD, "role": "viewer"})
    seen = {"If-Match": program.get("/v1/users/kim").headers["ETag"]}
    assert program.patch("/v1/users/kim", json={"role": "operator"}, headers=seen).status_code == 200
    assert program.patch("/v1/users/kim", json={"role": "admin"}, headers=seen).status_code == 412


def test_no_change_of_what_was_seen_goes_unguarded(program: FlaskClient, console_store: Store) -> None:
    group = networks.create(console_store, name="shop").id
    stage.set_up(console_store, group)
    volume = "/v1/cladnets/shop/volumes/photos"
    program.post("/v1/cladnets/shop/volumes", json={"name": "photos", "size_bytes": 1 << 30})
    program.post("/v1/users", json={"name": "kim", "password": PASSWORD, "role": "viewer"})
    old = {"If-Match": '"1"'}
    for method, path, wish in (
        ("PUT", f"{volume}/shares/a", {}), ("DELETE", f"{volume}/shares/a", None),
        ("PUT", f"{volume}/shares", {"hosts": []}),
        ("POST", f"{volume}/mount", {"hosts": ["a"], "path": "/srv/photos"}), ("POST", f"{volume}/unmount", {}),
        ("PUT", "/v1/users/kim/password", {"password": "another-good-one"}),
    ):  # fmt: skip
        assert program.open(path, method=method, json=wish, headers=old).status_code == 412, path
    assert accounts.authenticate(console_store, "kim", PASSWORD)
    refused = program.put(f"{volume}/snapshot-schedule", json={"every_s": 3600}, headers=old)
    assert (refused.status_code, refused.json["code"]) == (422, "invalid-input"), "not ignored"


def test_who_is_faster_between_the_look_and_the_write_wins(console_store: Store) -> None:
    doing = Doing(user="a", address="::1", action="x", method="PUT", path="/x")
    seen = console_store.put("larva/thing", "old")
    mine = RecordedStore(console_store, doing)
    mine.guard("larva/thing", seen)
    console_store.put("larva/thing", "theirs")
    with pytest.raises(recording.PreconditionFailed):
        mine.put("larva/other", "mine")
    with pytest.raises(recording.PreconditionFailed):
        mine.delete("larva/thing")
    assert not console_store.exists("larva/other")
    assert entries(console_store) == [], "what was not done is not told"


def test_a_condition_of_ones_own_that_fails_is_no_failed_precondition(console_store: Store) -> None:
    mine = RecordedStore(console_store, Doing(user="a", address="::1", action="x", method="PUT", path="/x"))
    mine.guard("larva/thing", console_store.put("larva/thing", "seen"))
    assert not mine.transact([Condition("larva/thing", 1)], [Put("larva/thing", "mine")])
    assert mine.transact([], [Put("larva/thing", "mine")])
    assert mine.transact([], [Put("larva/thing", "mine again")]), "later changes are its own"


def test_what_is_created_twice_under_one_key_is_created_once(program: FlaskClient, console_store: Store) -> None:
    once = {"Idempotency-Key": "0f1e"}
    made = program.post("/v1/cladnets", json={"name": "shop"}, headers=once)
    again = program.post("/v1/cladnets", json={"name": "shop"}, headers=once)
    assert made.status_code == again.status_code == 201
    assert (made.data, made.headers["Location"]) == (again.data, again.headers["Location"])
    assert len(networks.list_all(console_store)) == 1
    other = program.post("/v1/cladnets", json={"name": "mall"}, headers=once)
    assert (other.status_code, other.json["code"]) == (422, "invalid-input")
    assert program.post("/v1/cladnets", json={"name": "shop"}).status_code == 409, "without a key it is a second one"
    assert (
        program.post("/v1/cladnets", json={"name": "mall"}, headers={"Idempotency-Key": "x" * 300}).status_code == 422
    )


def test_a_change_of_what_was_seen_can_be_asked_for_again(program: FlaskClient, console_store: Store) -> None:
    stage.set_up(console_store, networks.create(console_store, name="shop").id)
    volume = "/v1/cladnets/shop/volumes/photos"
    program.post("/v1/cladnets/shop/volumes", json={"name": "photos", "size_bytes": 1 << 30})
    headers = {"If-Match": program.get(volume).headers["ETag"], "Idempotency-Key": "a"}
    first, again = (program.post(f"{volume}/resize", json={"size_bytes": 2 << 30}, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.data == again.data
    late = program.post(f"{volume}/resize", json={"size_bytes": 2 << 30}, headers={**headers, "Idempotency-Key": "b"})
    assert late.status_code == 412


def test_what_is_kept_of_a_request_betrays_no_password(program: FlaskClient, console_store: Store) -> None:
    wish = {"name": "kim", "password": PASSWORD, "role": "viewer"}
    for key in ("a", "b"):
        assert program.post("/v1/users", json=wish, headers={"Idempotency-Key": key}).status_code == 201
        program.delete("/v1/users/kim")
    kept = console_store.list(idempotency.KEYS, idempotency.Answered).items
    assert len({item.value.request for item in kept}) == 2, "without the key nobody can try passwords at it"


def test_what_is_done_is_told_also_where_that_cannot_be_kept(
    program: FlaskClient, console_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Store.lease

    def away(store: Store, ttl_s: int) -> Lease:
        if ttl_s == idempotency.KEPT_S:
            raise Unavailable("etcd does not answer")
        return lease(store, ttl_s)

    monkeypatch.setattr(Store, "lease", away)
    once = {"Idempotency-Key": "a"}
    assert program.post("/v1/cladnets", json={"name": "shop"}, headers=once).status_code == 201
    assert program.post("/v1/cladnets", json={"name": "shop"}, headers=once).status_code == 409
    assert len(networks.list_all(console_store)) == 1


def test_a_change_is_made_also_where_old_entries_cannot_go(
    console_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(store: Store) -> None:
        raise Unavailable("etcd does not answer")

    monkeypatch.setattr(audit, "prune", away)
    monkeypatch.setattr(recording, "_written", itertools.count())
    doing = Doing(user="kim", address="::1", action="x", method="PUT", path="/x\ny")
    with caplog.at_level("INFO", "web.recording"):
        assert RecordedStore(console_store, doing).put("larva/thing", "mine")
    assert [record.getMessage() for record in caplog.records] == [
        "kim: x, PUT '/x\\ny' from ::1", "old entries of the audit log stay for now: etcd does not answer",
    ]  # fmt: skip


def test_a_refusal_is_not_kept(program: FlaskClient, console_store: Store) -> None:
    networks.create(console_store, name="shop")
    once = {"Idempotency-Key": "a"}
    assert program.post("/v1/cladnets", json={"name": "shop"}, headers=once).status_code == 409
    console_store.delete_prefix(keys.CONFIGURATION)
    assert program.post("/v1/cladnets", json={"name": "shop"}, headers=once).status_code == 201


def test_somebody_elses_key_is_another_one(app: Flask, program: FlaskClient, console_store: Store) -> None:
    accounts.create(console_store, "kim", PASSWORD, AccountRole.OPERATOR)
    kim = app.test_client()
    kim.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'kim')}"
    once = {"Idempotency-Key": "a"}
    assert program.post("/v1/cladnets", json={"name": "shop"}, headers=once).status_code == 201
    assert kim.post("/v1/cladnets", json={"name": "shop"}, headers=once).status_code == 409


def test_a_secret_is_not_kept_for_a_second_asking(program: FlaskClient, console_store: Store) -> None:
    once = {"Idempotency-Key": "a"}
    made = program.post("/v1/access-tokens", json={}, headers=once)
    assert made.status_code == 201
    again = program.post("/v1/access-tokens", json={}, headers=once)
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    assert len(program.get("/v1/access-tokens").json["tokens"]) == 2, "the first one and the tests' own"
    for root in (audit.AUDIT, idempotency.KEYS):
        for item in console_store.raw(root, range_end=root[:-1].encode() + b"0").items:
            assert made.json["secret"].encode() not in item.value


def test_of_many_at_once_one_is_done(app: Flask, program: FlaskClient, console_store: Store) -> None:
    token = program.environ_base["HTTP_AUTHORIZATION"]
    codes: list[int] = []

    def ask() -> None:
        headers = {"Idempotency-Key": "a", "Authorization": token}
        codes.append(app.test_client().post("/v1/cladnets", json={"name": "shop"}, headers=headers).status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {201, 409}
    assert 201 in codes
    assert len([entry for entry in entries(console_store) if entry.action == "cladnets.create"]) == 1


def test_who_changed_what_is_told_with_before_and_after(program: FlaskClient, console_store: Store) -> None:
    group = program.post("/v1/cladnets", json={"name": "shop", "description": "one"}).json["id"]
    program.patch("/v1/cladnets/shop", json={"description": "two"})
    program.delete("/v1/cladnets/nobody")
    log = program.get("/v1/audit").json["entries"]
    assert [(each["user"], each["action"]) for each in log] == [
        ("admin", "cladnets.update"), ("admin", "cladnets.create"),
    ], "the newest first, and nothing of what was refused"  # fmt: skip
    changed = next(each for each in log[0]["changes"] if each["key"] == keys.configuration(group))
    assert (changed["before"]["description"], changed["after"]["description"]) == ("one", "two")
    made = next(each for each in log[1]["changes"] if each["key"] == keys.configuration(group))
    assert (made["before"], made["after"]["name"]) == (None, "shop")
    assert (log[0]["method"], log[0]["path"], log[0]["address"]) == ("PATCH", "/v1/cladnets/shop", "127.0.0.1")


def test_the_log_is_read_in_parts_and_by_user(app: Flask, program: FlaskClient, console_store: Store) -> None:
    accounts.create(console_store, "kim", PASSWORD, AccountRole.OPERATOR)
    kim = app.test_client()
    kim.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'kim')}"
    for number in range(5):
        (kim if number % 2 else program).post("/v1/cladnets", json={"name": f"net-{number}"})
    assert kim.get("/v1/audit").status_code == 403
    seen, cursor = [], ""
    while True:
        part = program.get(f"/v1/audit?limit=2{cursor}").json
        seen += [entry["id"] for entry in part["entries"]]
        if part["next"] is None:
            break
        cursor = f"&cursor={part['next']}"
    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)
    assert {entry["user"] for entry in program.get("/v1/audit?user=kim").json["entries"]} == {"kim"}
    assert program.get("/v1/audit?action=volumes.").json == {"entries": [], "next": None}


def test_pages_are_recorded_too(app: Flask, console_store: Store) -> None:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'admin')}"
    client.post("/cladnets", data={"name": "shop", "rule_type": "basic", "confirmed": "yes"})
    client.get("/v1/control/cladnet/shop/command/DOWN")
    assert [entry.action for entry in entries(console_store)] == ["cladnets.create"], "no host was told anything"


def test_passwords_and_seals_are_not_told(program: FlaskClient, console_store: Store) -> None:
    program.post("/v1/users", json={"name": "kim", "password": PASSWORD, "role": "viewer"})
    program.put("/v1/users/kim/password", json={"password": "another-good-one"})
    assert len(entries(console_store)) == 2
    for item in console_store.raw(audit.AUDIT, range_end=b"larva/audit0").items:
        assert b"argon2" not in item.value
        assert b"good-one" not in item.value


def test_the_log_has_an_end(console_store: Store) -> None:
    mine = RecordedStore(console_store, Doing(user="a", address="::1", action="x", method="PUT", path="/x"))
    for number in range(12):
        mine.put("larva/thing", number)
    audit.prune(console_store, kept=5)
    assert [entry.changes[0].after for entry in entries(console_store)] == [11, 10, 9, 8, 7]


def test_a_long_value_is_cut_and_many_keys_are_counted(console_store: Store) -> None:
    mine = RecordedStore(console_store, Doing(user="a", address="::1", action="x", method="PUT", path="/x"))
    mine.transact([], [Put(f"larva/thing/{number}", {"text": "x" * 5000}) for number in range(50)])
    (entry,) = entries(console_store)
    assert (len(entry.changes), entry.more) == (audit.MOST_CHANGES, 50 - audit.MOST_CHANGES)
    assert len(entry.changes[0].after["text"]) == audit.LONGEST_TEXT + 1


def test_entries_are_signed_where_values_are(etcd_factory) -> None:
    with etcd_factory(tls=True).store() as store:
        mine = RecordedStore(store, Doing(user="a", address="::1", action="x", method="PUT", path="/x"))
        accounts.create(mine, "kim", PASSWORD, AccountRole.VIEWER)
        accounts.set_role(mine, "kim", AccountRole.ADMIN)
        changed, made = entries(store)
        assert [entry.changes[0].after["role"] for entry in (changed, made)] == ["admin", "viewer"]
        assert "signature" not in changed.changes[0].before, "of the value, not of the entry"
        (raw,) = store.raw(audit.key(changed.id)).items
        assert split(raw.value)[1]
        plain = Store.__new__(Store)  # whoever can write etcd and has no key of the CA
        plain._cluster, plain._trust = store._cluster, None
        plain.put(audit.key(made.id), replace(made, user="somebody else"))
        assert [entry.id for entry in entries(store)] == [changed.id], "what was forged is left out"
