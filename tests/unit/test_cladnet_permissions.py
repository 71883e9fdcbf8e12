"""Properties of the tables of rights and of the plan that brings etcd's users and roles to them."""

from datetime import UTC, datetime

import pytest
from etcd3.utils import prefix_range_end
from hypothesis import given
from hypothesis import strategies as st

import cbstorage.keys
from cbstorage import permissions as storage_permissions
from cladnet import keys
from cladnet.access import permissions
from cladnet.access.permissions import EVERYTHING, HOST_TABLE, Access, Permission
from cladnet.access.subject import Actual, Subject, plan, subject_of
from cladnet.enrol.authority import user_name
from cladnet.model import EnrolledHost, Role

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
accesses = st.sampled_from(Access)
permission_sets = st.frozensets(
    st.builds(Permission.on, st.sampled_from(["a", "a/", "b", "b/", "c/"]), accesses), max_size=6
).map(lambda found: frozenset({(one.key, one.range_end): one for one in found}.values()))


def host_of(host: str, *groups: str, roles: tuple[Role, ...] = (Role.MEMBER,), user: str = "") -> EnrolledHost:
    return EnrolledHost(
        host=host, groups=groups, roles=roles, certificate_serial="1", enrolled_at=datetime.now(UTC), user=user
    )


def rights(host: EnrolledHost, monitors: dict[str, frozenset[str]] | None = None) -> frozenset[Permission]:
    return permissions.of_host(
        host,
        [
            lambda one: permissions.expand(HOST_TABLE, one),
            lambda one: storage_permissions.rights(one, monitors or {}),
        ],
    )


def covers(found: frozenset[Permission], key: str, *, write: bool) -> bool:
    wanted = (Access.WRITE, Access.READ_WRITE) if write else (Access.READ, Access.READ_WRITE)
    data = key.encode()
    return any(
        one.access in wanted and (one.key <= data < one.range_end if one.range_end else one.key == data)
        for one in found
    )


def keys_of(group: str, host: str) -> list[str]:
    k = cbstorage.keys
    return [
        keys.host_information(group, host), keys.presence(group, host), keys.status(group, host),
        keys.quality(group, host),
        keys.rule(group, host), keys.command(group, host), keys.enrolled_host(host), k.daemons(group, host),
        k.keyring(group, host), k.mount(group, host, "v"), k.mount_key(group, host, "v"),
        k.mount_state(group, host, "v"),
    ]  # fmt: skip


@given(names, names, names, names, st.sampled_from([(Role.MEMBER,), (Role.STORAGE,), (Role.STORAGE, Role.MEMBER)]))
def test_no_host_writes_what_is_anothers_or_reads_another_network(
    group: str, host: str, other_group: str, other: str, roles: tuple[Role, ...]
) -> None:
    found = rights(host_of(host, group, roles=roles))
    for key in keys_of(group, other):
        assert host == other or not covers(found, key, write=True), key
    if other_group != group:
        for key in [*keys_of(other_group, other), keys.configuration(other_group), cbstorage.keys.cluster(other_group)]:
            assert key == keys.enrolled_host(host) or not covers(found, key, write=False), key
            assert not covers(found, key, write=True), key
    for key in (keys.rule(group, host), keys.enrolled_host(host), keys.address(group, "10.0.0.1"), keys.CONTROL_PLANE):
        assert not covers(found, key, write=True), key


@given(names, st.lists(names, min_size=1, max_size=3, unique=True))
def test_a_monitors_host_keeps_only_the_clusters_that_name_it(host: str, groups: list[str]) -> None:
    found = rights(host_of(host, *groups, roles=(Role.STORAGE,)), {groups[0]: frozenset({host})})
    for group in groups:
        assert covers(found, cbstorage.keys.cluster_state(group), write=True) == (group == groups[0])
        assert covers(found, cbstorage.keys.keyring(group, "other"), write=False) == (group == groups[0])
    # The word of a cluster alone makes no storage host of a mere member.
    assert not covers(rights(host_of(host, *groups), {groups[0]: frozenset({host})}), keys.TOKEN, write=False)
    member = rights(host_of(host, *groups), {groups[0]: frozenset({host})})
    assert not covers(member, cbstorage.keys.cluster_state(groups[0]), write=True)


def test_a_control_node_may_do_everything() -> None:
    assert rights(host_of("c", roles=(Role.CONTROL, Role.MEMBER))) == {EVERYTHING}


def test_names_that_no_key_can_hold_give_no_right() -> None:
    assert rights(host_of("h", "../red", "a/b", "")) == rights(host_of("h"))


@given(permission_sets, st.none() | permission_sets, st.none() | st.frozensets(st.sampled_from(["u", "x", "root"])))
def test_a_plan_leads_to_what_is_wanted_and_a_second_one_is_empty(
    wanted: frozenset[Permission], granted: frozenset[Permission] | None, roles: frozenset[str] | None
) -> None:
    subject = Subject("u", "u", wanted)
    auth = Table(granted, roles if granted is not None or roles is None else roles - {"u"})
    for step in plan(subject, auth.actual()):
        step.do(auth)  # type: ignore[arg-type]
        if auth.roles_of_user is not None and "u" in auth.roles_of_user and (roles is None or "u" not in roles):
            assert auth.permissions == wanted, "a new user never has half of its rights"
    assert auth.actual() == Actual(frozenset({"u"}), wanted)
    assert plan(subject, auth.actual()) == ()


class Table:
    """etcd's rules on users and roles, as far as a plan meets them: what exists cannot be added, a grant replaces."""

    def __init__(self, granted: frozenset[Permission] | None, roles: frozenset[str] | None) -> None:
        self.permissions = granted
        self.roles_of_user = roles

    def actual(self) -> Actual:
        return Actual(self.roles_of_user, self.permissions)

    def add_role(self, role: str) -> None:
        assert self.permissions is None
        self.permissions = frozenset()

    def add_user(self, user: str) -> None:
        assert self.roles_of_user is None
        self.roles_of_user = frozenset()

    def give_role(self, user: str, role: str) -> None:
        assert self.roles_of_user is not None
        assert role == "u"
        assert self.permissions is not None
        self.roles_of_user |= {role}

    def take_role(self, user: str, role: str) -> None:
        assert self.roles_of_user is not None
        assert role in self.roles_of_user
        self.roles_of_user -= {role}

    def grant(self, role: str, permission: Permission) -> None:
        assert self.permissions is not None
        place = (permission.key, permission.range_end)
        others = frozenset(one for one in self.permissions if (one.key, one.range_end) != place)
        self.permissions = others | {permission}

    def revoke(self, role: str, permission: Permission) -> None:
        assert self.permissions is not None
        assert permission in self.permissions
        self.permissions -= {permission}


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True), st.text("0123456789abcdef", min_size=64, max_size=64))  # fmt: skip  # noqa: E501
def test_the_name_in_a_certificate_fits_and_is_never_etcds_own_root(host: str, digest: str) -> None:
    user = user_name(host, digest)
    assert len(user) <= 64
    assert user != "root"
    assert user.endswith(digest[:32])


def test_a_host_of_old_is_known_by_its_own_name() -> None:
    assert subject_of(host_of("h"), frozenset()).user == "h"
    assert subject_of(host_of("h", user="h.12"), frozenset()) == Subject("h.12", "h.12", frozenset())


@pytest.mark.parametrize("row", [*HOST_TABLE, *storage_permissions.MEMBER_TABLE], ids=lambda row: row.path)
def test_what_every_host_writes_carries_its_name(row: permissions.Row) -> None:
    assert row.access is Access.READ or "{host}" in row.path


def test_both_rooms_rights_to_the_same_keys_are_put_together() -> None:
    read, write = (Permission.on("k/", access) for access in (Access.READ, Access.WRITE))
    found = permissions.of_host(host_of("h"), [lambda _: [read], lambda _: [write]])
    assert found == {Permission(b"k/", prefix_range_end(b"k/"), Access.READ_WRITE)}
    assert storage_permissions.SOURCE in permissions.sources()
