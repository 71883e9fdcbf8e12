"""Machines outside: what they are told to type, and whose keys are made and taken back."""

import shlex
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address

import pytest

from cbstorage.ceph import cephx
from cbstorage.connection_model import OutsideConnection
from cbstorage.leading import connection_keeper
from cbstorage.model import SealedKey, SealedKeys, VolumePhase, VolumeSpecification
from cbstorage.wanted import connection_words
from cbstorage.wanted.connections import Ticket
from cladnet import seal
from cladnet.etcd.store import Versioned

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VOLUME = VolumeSpecification(group="demo", name="data", id="11112222", size_bytes=1 << 30, created_at=NOW)
PAIR = ("data", "laptop")
WISH = OutsideConnection(
    volume="data", volume_id=VOLUME.id, machine="laptop", serial="0a0b0c0d", seal_key=seal.new_pair()[1], created_at=NOW
)
TICKET = Ticket(
    volume="data",
    machine="laptop",
    fsid="5248e297-0307-4aad-a81e-d3b7ee2f8cd4",
    monitors=(IPv4Address("192.168.10.2"), IPv4Address("192.168.10.3")),
    source=VOLUME.path,
    identity=cephx.Identity(entity=WISH.entity, key="AQBSecretSecretSecretSecretSecretSecret=="),
    read_only=False,
)


def made(wish: OutsideConnection) -> Versioned[SealedKeys]:
    return Versioned("k", SealedKeys(seal_key=wish.seal_key, keys=(SealedKey(entity=wish.entity, box=""),)), 1)


def test_a_key_is_made_once_and_taken_back_when_nobody_wants_it() -> None:
    volumes = {"data": VOLUME}
    assert connection_keeper.plan({PAIR: WISH}, {}, volumes).hand_out == (PAIR,)
    nothing = connection_keeper.plan({PAIR: WISH}, {PAIR: made(WISH)}, volumes)
    assert nothing.hand_out == nothing.take_back == ()
    assert connection_keeper.plan({}, {PAIR: made(WISH)}, volumes).take_back == (PAIR,)


def test_a_machine_that_is_connected_anew_gets_another_key() -> None:
    again = replace(WISH, serial="ffffffff", seal_key=seal.new_pair()[1])
    assert again.entity != WISH.entity
    found = connection_keeper.plan({PAIR: again}, {PAIR: made(WISH)}, {"data": VOLUME})
    assert (found.take_back, found.hand_out) == ((PAIR,), ())  # its own with the next look, when the old one is back


@pytest.mark.parametrize(
    "volumes",
    [{}, {"data": replace(VOLUME, phase=VolumePhase.DELETING)}, {"data": replace(VOLUME, id="33334444")}],
    ids=["gone", "deleting", "another"],
)
def test_a_volume_that_goes_takes_its_connections_along(volumes: dict[str, VolumeSpecification]) -> None:
    found = connection_keeper.plan({PAIR: WISH}, {PAIR: made(WISH)}, volumes)
    assert (found.take_back, found.hand_out) == ((PAIR,), ())
    assert connection_keeper.plan({PAIR: WISH}, {}, volumes).hand_out == ()


@pytest.mark.parametrize(
    ("entity", "ours"),
    [
        (WISH.entity, True),
        ("client.admin", False),
        ("client.outside.data.11112222.other.0a0b0c0d", False),
        ("client.outside.other.11112222.laptop.0a0b0c0d", False),
        ("client.data.11112222.laptop", False),
        (WISH.entity + "\n", False),
    ],
)
def test_only_a_machine_s_own_identity_is_taken_back(entity: str, *, ours: bool) -> None:
    assert connection_keeper.is_outside_entity(entity, *PAIR) is ours


def test_a_volume_called_outside_or_storage_shares_no_identity() -> None:
    names = [replace(VOLUME, name=name) for name in ("outside", "storage", "admin")]
    hosts = {volume.entity("laptop", read_only=mode) for volume in names for mode in (False, True)}
    machines = {replace(WISH, volume=volume.name).entity for volume in names}
    assert len(hosts) == 6
    assert not hosts & machines
    assert not (hosts | machines) & {cephx.storage_host("laptop"), cephx.ADMIN}


def test_the_key_is_on_no_command_line() -> None:
    words = connection_words.words(TICKET, "/mnt/data")
    for text in (words.commands, words.fuse_commands):
        typed = [line for line in text.splitlines() if TICKET.identity.key not in line]
        assert len(text.splitlines()) - len(typed) == 1
        assert all(TICKET.identity.key not in shlex.split(line, comments=True) for line in typed)
    assert TICKET.identity.key not in words.fstab + words.unit


def test_what_is_shown_mounts_with_msgr2_and_at_boot() -> None:
    words = connection_words.words(replace(TICKET, read_only=True), "/mnt/my data-1")
    source = f"outside.data.11112222.laptop.0a0b0c0d@{TICKET.fsid}.cladfs=/volumes/demo/data.11112222"
    monitors = "mon_addr=192.168.10.2:3300/192.168.10.3:3300"
    assert f"mount -t ceph '{source}' '/mnt/my data-1' -o {monitors}," in words.commands
    fields = words.fstab.split(" ")
    assert (fields[0], fields[1], fields[2]) == (source, "/mnt/my\\040data-1", "ceph")
    assert {"ro", "_netdev", "nofail", "ms_mode=prefer-crc"} <= set(fields[3].split(","))
    assert words.unit_name == r"mnt-my\x20data\x2d1.mount"
    assert "Where=/mnt/my data-1\n" in words.unit
    assert "-o ro '/mnt/my data-1'" in words.fuse_commands


def test_another_key_is_made_once_for_each_time_of_asking() -> None:
    volumes, (_, public) = {"data": VOLUME}, seal.new_pair()
    renewed, present = replace(WISH, renewal=public), made(WISH)
    assert connection_keeper.plan({PAIR: renewed}, {PAIR: present}, volumes).renew == (PAIR,)
    told = replace(present, value=replace(present.value, next_seal_key=public))
    nothing = connection_keeper.plan({PAIR: renewed}, {PAIR: told}, volumes)
    assert nothing.renew == nothing.take_back == nothing.hand_out == ()
    assert connection_keeper.plan({PAIR: WISH}, {PAIR: present}, volumes).renew == ()
    again = replace(renewed, renewal=seal.new_pair()[1])
    assert connection_keeper.plan({PAIR: again}, {PAIR: told}, volumes).renew == (PAIR,)
    gone = connection_keeper.plan({PAIR: renewed}, {PAIR: present}, {})
    assert (gone.renew, gone.take_back) == ((), (PAIR,))
