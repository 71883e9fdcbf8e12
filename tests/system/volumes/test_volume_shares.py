"""Volumes for some hosts only, on a real etcd: shared, taken back, and never mounted by who may not."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from storage_wishes import CSPS, GIB, GROUP, discarded, mounts_of

from cbstorage import keys, records
from cbstorage.commands.volume import volume as volume_command
from cbstorage.leading import tree
from cbstorage.leading.volume_keeper import VolumeKeeper
from cbstorage.model import ClusterSpecification, SealedKey, SealedKeys, VolumeState
from cbstorage.share_model import Share, VolumeShares
from cbstorage.wanted import copies, mounting, sharing, trash, volumes
from cladnet.etcd.store import Store
from larva.errors import Conflict, InvalidInput, MalformedData, NotFound, TimedOut


def test_a_volume_is_kept_for_some_hosts_shared_and_taken_back(store: Store, made: ClusterSpecification) -> None:
    with pytest.raises(NotFound, match="no host nobody") as error:
        volumes.create(store, GROUP, "data", GIB, kept_for=["nobody"])
    assert "larva net join" in error.value.hint
    volumes.create(store, GROUP, "data", GIB, kept_for=["aws-1"])
    with pytest.raises(Conflict, match="not shared with gcp-1"):
        mounting.mount(store, GROUP, "data", ["aws-1", "gcp-1"], "/srv/data")
    assert mounts_of(store) == {}
    assert [one.host for one in mounting.mount(store, GROUP, "data", None, "/srv/data")] == ["aws-1"]
    assert records.wanted_on(store, GROUP, "gcp-1") == {}

    sharing.share(store, GROUP, "data", ["gcp-1"], read_only=True)
    assert mounts_of(store) == {"aws-1": False, "gcp-1": True}
    assert records.wanted_on(store, GROUP, "gcp-1")["data"].read_only
    before = store.revisions(keys.VOLUME_SHARES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "transact", lambda *_: False)
        with pytest.raises(Conflict, match="somebody else changed"):
            sharing.share(store, GROUP, "data", ["azure-1"])
    assert store.revisions(keys.VOLUME_SHARES) == before
    sharing.share(store, GROUP, "data", ["gcp-1"])
    assert mounts_of(store) == {"aws-1": False, "gcp-1": False}

    with pytest.raises(NotFound, match="not shared with azure-1") as error:
        sharing.unshare(store, GROUP, "data", ["azure-1"])
    assert "aws-1, gcp-1" in error.value.hint
    sharing.unshare(store, GROUP, "data", ["gcp-1"])
    assert mounts_of(store) == {"aws-1": False}
    sharing.keep_for(store, GROUP, "data", [Share(host="azure-1", read_only=True)])
    assert mounts_of(store) == {"azure-1": True}
    assert volumes.find(store, GROUP, "data").shares == (Share(host="azure-1", read_only=True),)
    sharing.open_to_all(store, GROUP, "data")
    sharing.open_to_all(store, GROUP, "data")
    assert set(mounts_of(store)) == {f"{csp}-1" for csp in CSPS}
    for change in (sharing.share, sharing.unshare):
        with pytest.raises(Conflict, match="for every host") as error:
            change(store, GROUP, "data", ["aws-1"])
        assert "--only" in error.value.hint
    sharing.keep_for(store, GROUP, "data", [])
    assert mounts_of(store) == {}
    with pytest.raises(Conflict, match="not shared with"):
        mounting.mount(store, GROUP, "data", None, "/srv/data")


def test_a_mount_by_name_ends_with_its_share_and_does_not_come_back_by_itself(
    store: Store, made: ClusterSpecification
) -> None:
    created = volumes.create(store, GROUP, "data", GIB)
    mounting.mount(store, GROUP, "data", ["aws-1", "gcp-1"], "/srv/data")
    sealed = SealedKeys(seal_key="s", keys=(SealedKey(entity=created.entity("gcp-1"), box=""),))
    store.put(keys.mount_key(GROUP, "gcp-1", "data"), sealed)
    sharing.keep_for(store, GROUP, "data", [Share(host="aws-1")])
    assert list(store.revisions(keys.MOUNT)) == [keys.mount(GROUP, "aws-1", "data")]
    with pytest.raises(TimedOut, match="gcp-1: the storage hosts have not taken its key back"):
        sharing.wait_in_force(store, GROUP, "data", timeout_s=0)
    sharing.share(store, GROUP, "data", ["gcp-1"], read_only=True)
    assert mounts_of(store) == {"aws-1": False}
    with pytest.raises(TimedOut, match="gcp-1"):
        sharing.wait_in_force(store, GROUP, "data", timeout_s=0)
    reading = replace(sealed, keys=(SealedKey(entity=created.entity("gcp-1", read_only=True), box=""),))
    store.put(keys.mount_key(GROUP, "gcp-1", "data"), reading)
    sharing.wait_in_force(store, GROUP, "data", timeout_s=0)
    assert mounting.mount(store, GROUP, "data", ["gcp-1"], "/srv/data")[0].read_only
    assert mounting.mount(store, GROUP, "data", ["gcp-1"], "/srv/data")[0].read_only


def test_shares_stay_with_a_volume_wherever_it_goes(store: Store, made: ClusterSpecification) -> None:
    first = volumes.create(store, GROUP, "data", GIB, kept_for=["aws-1"])
    store.put(keys.volume_state(GROUP, "data"), VolumeState(id=first.id, ready=True, size_bytes=GIB))
    copies.clone(store, GROUP, "data", "copy")
    assert sharing.shares(store, GROUP, "copy") == (Share(host="aws-1"),)
    volumes.delete(store, GROUP, "data")
    with pytest.raises(Conflict, match="being deleted"):
        sharing.open_to_all(store, GROUP, "data")
    discarded(store, "data")
    volumes.create(store, GROUP, "data", GIB)
    assert sharing.shares(store, GROUP, "data") is None, "another volume of that name"
    trash.undelete(store, GROUP, first.id, name="older")
    assert sharing.shares(store, GROUP, "older") == (Share(host="aws-1"),)
    with pytest.raises(NotFound, match="no volume"):
        sharing.shares(store, GROUP, "other")

    keeper = VolumeKeeper(store, GROUP, "aws-1")
    keeper._order = lambda **wish: tree.Answer(used_bytes={})  # type: ignore[method-assign]
    assert keeper._purge(first)
    assert keys.volume_shares(GROUP, first.id) not in store.revisions(keys.VOLUME_SHARES)


def test_a_record_that_cannot_be_read_keeps_its_volume_for_nobody(store: Store, made: ClusterSpecification) -> None:
    data, other = (volumes.create(store, GROUP, name, GIB, kept_for=["aws-1"]) for name in ("data", "other"))
    for name in ("data", "other"):
        mounting.mount(store, GROUP, name, ["aws-1"], f"/srv/{name}")
    store.put(keys.volume_shares(GROUP, data.id), {"shares": "all"})
    assert list(records.wanted_on(store, GROUP, "aws-1")) == ["other"]
    store.put(keys.volume_shares(GROUP, data.id), VolumeShares(group=GROUP, volume_id=other.id))
    assert records.shares_of(store, GROUP)[data.id].shares == ()
    store.put(keys.volume_shares(GROUP, data.id), "?")
    for change in (sharing.share, sharing.unshare):
        with pytest.raises(MalformedData):
            change(store, GROUP, "data", ["aws-1"])
    with pytest.raises(MalformedData):
        copies.clone(store, GROUP, "data", "copy")
    sharing.keep_for(store, GROUP, "data", [Share(host="aws-1")])
    mounting.mount(store, GROUP, "data", ["aws-1"], "/srv/data")
    assert set(records.wanted_on(store, GROUP, "aws-1")) == {"data", "other"}


def test_who_gets_a_share_is_told_of_what_is_in_the_way(store: Store, made: ClusterSpecification) -> None:
    for name in ("data", "other"):
        volumes.create(store, GROUP, name, GIB, kept_for=["aws-1"])
    mounting.mount(store, GROUP, "data", None, "/srv/data")
    sharing.open_to_all(store, GROUP, "other")
    mounting.mount(store, GROUP, "other", ["gcp-1"], "/srv/data")  # nothing is there
    for change in (
        lambda: sharing.share(store, GROUP, "data", ["gcp-1"]),
        lambda: sharing.open_to_all(store, GROUP, "data"),
    ):
        with pytest.raises(Conflict, match="gcp-1 has volume other at /srv/data"):
            change()
    sharing.unshare(store, GROUP, "data", ["aws-1"])


def test_a_mount_and_the_end_of_its_share_at_once_never_both_win(store: Store, made: ClusterSpecification) -> None:
    for number in range(5):
        name = f"race-{number}"
        volumes.create(store, GROUP, name, GIB, kept_for=["aws-1"])

        def attempt(action: Any) -> None:
            with contextlib.suppress(Conflict):
                action()

        with ThreadPoolExecutor(2) as pool:
            path = f"/srv/{name}"
            pool.submit(attempt, lambda name=name, path=path: mounting.mount(store, GROUP, name, ["aws-1"], path))
            pool.submit(attempt, lambda name=name: sharing.unshare(store, GROUP, name, ["aws-1"]))
        wanted = keys.mount(GROUP, "aws-1", name) in store.revisions(keys.MOUNT)
        assert not wanted or sharing.shares(store, GROUP, name), "no mount is left that its share does not allow"


def test_shares_on_the_command_line(store: Store, made: ClusterSpecification, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "of_this_host", classmethod(lambda _: contextlib.nullcontext(store)))

    def run(*words: str) -> str:
        done = CliRunner().invoke(volume_command, words, catch_exceptions=True)
        return f"{done.output}{done.exception or ''}"

    assert "it is kept for: aws-1" in run("create", "data", "--size", "1G", "--for", "aws-1")
    assert json.loads(run("share", "data", "--with", "gcp-1", "--read-only", "--json")) == {
        "everybody": False,
        "hosts": [{"host": "aws-1", "read_only": False}, {"host": "gcp-1", "read_only": True}],
    }
    assert "read and write" in run("shares", "data")
    assert "gcp-1" not in run("unshare", "data", "--with", "gcp-1", "--wait", "1")
    assert "for every host" in run("share", "data", "--all")
    assert "azure-1" in run("share", "data", "--only", "--with", "azure-1")
    for words in (("share", "data"), ("share", "data", "--all", "--with", "aws-1"), ("unshare", "data")):
        assert "say" in run(*words)
    assert "every host" in run("share", "data", "--all", "--read-only")


def test_too_many_hosts_by_name_are_refused(store: Store, made: ClusterSpecification) -> None:
    volumes.create(store, GROUP, "data", GIB)
    with pytest.raises(InvalidInput, match="101 hosts are too many"):
        mounting.mount(store, GROUP, "data", [f"h{number}" for number in range(101)], "/srv/data")
    with pytest.raises(InvalidInput, match="no host to mount on"):
        mounting.mount(store, GROUP, "data", [], "/srv/data")
