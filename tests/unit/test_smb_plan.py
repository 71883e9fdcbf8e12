"""What an SMB gateway offers: only what is mounted, only to who has a password there, no CLADNet in another's way."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.model import MountSpecification
from cbstorage.smb import configuration
from cbstorage.smb.configuration import Share
from cbstorage.smb.model import SmbShare
from cbstorage.smb.plan import Kept, merged, narrowed, plan

ID = "0a1b2c3d"


def wish(volume: str, *, writers: tuple[str, ...] = (), readers: tuple[str, ...] = (), ident: str = ID) -> SmbShare:
    return SmbShare(volume=volume, volume_id=ident, host="gate", writers=writers, readers=readers)


def mount(volume: str, ident: str = ID) -> MountSpecification:
    return MountSpecification(volume=volume, volume_id=ident, host="gate", path=f"/srv/{volume}")


def decide(share: SmbShare, *, users: tuple[str, ...] = ("alice",), mounted: tuple[str, ...] = ("/srv/data",)) -> Kept:
    made = plan(
        "g", {}, shares={share.volume: share}, mounts={"data": mount("data")}, mounted=mounted,
        users=dict.fromkeys(users, "mark"),
    )  # fmt: skip
    return made.kept.get("g", Kept())


def test_a_share_is_what_was_wished_for() -> None:
    made = decide(wish("data", writers=("alice",), readers=("bob",)), users=("alice", "bob"))
    assert made.shares == (Share(name="data", path="/srv/data", writers=("alice",), readers=("bob",)),)


@pytest.mark.parametrize(
    ("share", "users", "mounted"),
    [
        (wish("data", writers=("alice",)), ("alice",), ()),
        (wish("data", writers=("alice",), ident="ffffffff"), ("alice",), ("/srv/data",)),
        (wish("other", writers=("alice",)), ("alice",), ("/srv/data",)),
        (wish("data", writers=("alice",)), (), ("/srv/data",)),
        (wish("data"), ("alice",), ("/srv/data",)),
    ],
    ids=["not mounted", "an earlier volume of that name", "no mount", "no password", "nobody named"],
)
def test_what_cannot_be_shared_is_not(share: SmbShare, users: tuple[str, ...], mounted: tuple[str, ...]) -> None:
    assert decide(share, users=users, mounted=mounted).shares == ()


def test_who_has_no_password_keeps_no_other_out() -> None:
    made = plan(
        "g", {}, shares={"data": wish("data", writers=("alice", "bob"))}, mounts={"data": mount("data")},
        mounted=["/srv/data"], users={"alice": "m"},
    )  # fmt: skip
    assert made.kept["g"].shares[0].writers == ("alice",)
    assert "bob" in made.problems[0]


def test_another_cladnet_keeps_its_names() -> None:
    kept = {"a": Kept(shares=(Share(name="data", path="/srv/a", writers=("zoe",), readers=()),), users=(("zoe", "m"),))}
    made = plan(
        "b", kept, shares={"data": wish("data", writers=("zoe",))}, mounts={"data": mount("data")},
        mounted=["/srv/data"], users={"zoe": "other"},
    )  # fmt: skip
    assert made.kept == kept
    assert len(made.problems) == 3
    assert merged(made.kept) == kept["a"].shares


NAMES = st.lists(st.sampled_from(["ann", "bo", "cy"]), unique=True).map(tuple)
SHARES = st.builds(
    Share, name=st.sampled_from(["x", "y"]), path=st.sampled_from(["/1", "/2"]), writers=NAMES, readers=NAMES
)


@given(st.lists(SHARES, unique_by=lambda one: one.name), st.lists(SHARES, unique_by=lambda one: one.name))
def test_a_session_is_cut_exactly_when_somebody_loses_something(old: list[Share], new: list[Share]) -> None:
    cut = narrowed(old, new)
    after = {share.name: share for share in new}
    for share in old:
        now = after.get(share.name)
        may = {(user, "w") for user in share.writers} | {(user, "r") for user in (*share.readers, *share.writers)}
        still = {(u, "w") for u in now.writers} | {(u, "r") for u in (*now.readers, *now.writers)} if now else set()
        lost = now is None or now.path != share.path or not may <= still
        assert (share.name in cut) == lost


def test_no_client_caches_what_other_clouds_write() -> None:
    share = Share(name="data", path="/srv/data", writers=("alice",), readers=("bob",))
    text = configuration.render([share], state=Path("/state"), runtime=Path("/run/x"))
    assert text == configuration.render([share], state=Path("/state"), runtime=Path("/run/x"))
    for line in ("oplocks = no", "smb2 leases = no", "follow symlinks = no", "read only = yes", "server smb encrypt = required"):  # fmt: skip  # noqa: E501
        assert f"    {line}\n" in text
    assert "valid users = alice bob\n" in text
    assert "write list = alice\n" in text
