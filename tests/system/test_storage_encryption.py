"""Encrypted OSDs, as far as a kernel without device mapper goes: keys at real monitors, headers by a real cryptsetup.

That a device is opened, written and opened again after a boot shows `tests/image/prove_encryption.py`, in a VM.
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from small_ceph import PLACES, Image, SmallCeph, running

from cbstorage import keys, records
from cbstorage.model import (
    ClusterSpecification,
    ClusterState,
    Daemon,
    DaemonKind,
    Health,
    HostDaemons,
    OsdState,
)
from cbstorage.osd_model import OsdAddition
from cbstorage.wanted import osds
from cladnet.etcd.store import Store
from larva.errors import InvalidInput, ProgramFailed

pytestmark = [pytest.mark.root, pytest.mark.image]

KEYS = """
import json
from pathlib import Path
from cbstorage.ceph import cephx
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import encryption, local, lockbox, services
from larva.errors import Conflict, HostUnfit, NotFound, Refused

def refused(error, what, *arguments, **named):
    try:
        what(*arguments, **named)
    except error:
        return
    raise AssertionError("not refused")

def connect(entity, keyring):
    return Monitors(local.CONFIGURATION, entity=entity, keyring=keyring)

def stored(one):
    return f"dm-crypt/osd/{one}/luks"

refused(HostUnfit, lockbox.fetch, mine, fsid)
with connect("client.admin", local.keyring_of("client.admin")) as admin:
    host = services.get_or_create(admin, cephx.storage_host("h"), cephx.STORAGE_HOST_CAPS)
    with connect(host.entity, local.write_client_keyring(host)) as monitors:
        osd_key = cephx.new_key(created_s=1)

        def make(one, given):
            text = json.dumps({"cephx_secret": osd_key, **given}).encode()
            return json.loads(monitors.run("osd new", uuid=one, stdin=text, format="json"))["osdid"]

        given = encryption.secrets(mine, fsid)
        assert encryption.secrets(mine, fsid)["dmcrypt_key"] != given["dmcrypt_key"]  # nothing is stored yet
        number = make(mine, given)
        again = encryption.secrets(mine, fsid)
        assert again == given and make(mine, again) == number  # as after a kill right behind it
        refused(Conflict, make, mine, {**given, "dmcrypt_key": lockbox.new_key()})
        assert lockbox.fetch(mine, fsid).decode() == given["dmcrypt_key"]
        other = make(others, encryption.secrets(others, fsid))
        refused(Refused, monitors.run, "config-key get", key=stored(mine))
    with connect(lockbox.entity(mine), lockbox.keyring(mine, fsid)) as identity:
        refused(Refused, identity.run, "config-key get", key=stored(others))
        refused(Refused, identity.run, "config-key set", key=stored(mine), val="x")
        refused(Refused, identity.run, "osd dump")
    assert lockbox.keyring(mine, fsid).stat().st_mode & 0o777 == 0o600
    for command, one, name in (("osd destroy-actual", number, mine), ("osd purge-actual", other, others)):
        admin.run(command, id=one, yes_i_really_mean_it=True)
        refused(NotFound, lockbox.fetch, name, fsid)
        refused(NotFound, admin.run, "config-key get", key=stored(name))
        refused(NotFound, admin.run, "auth get", entity=lockbox.entity(name))
    admin.run("osd purge-actual", id=number, yes_i_really_mean_it=True)
lockbox.forget(mine, fsid)
lockbox.forget(mine, fsid)
refused(HostUnfit, lockbox.fetch, mine, fsid)
"""

HEADERS = """
import os
from pathlib import Path
from cbstorage.host import device, dmcrypt, encryption, lockbox, osd_retire
from larva.errors import HostUnfit

def refused(disk, begun=True):
    try:
        encryption.check(disk, mine, begun=begun)
    except HostUnfit as error:
        assert "foreign data" in error.message
        return
    raise AssertionError("not refused")

disk, key = Path("/srv/header.img"), lockbox.new_key().encode()
device.make_file(disk, 1 << 30)
encryption.check(disk, mine, begun=False)
dmcrypt.format_device(disk, others, key)
refused(disk)  # somebody else's LUKS
osd_retire.empty(disk, osd_uuid=mine, encrypted=True)
assert dmcrypt.fits(disk, key)
dmcrypt.format_device(disk, mine, key)
found = device.inspect(disk)
assert (found.signature, found.luks_uuid) == ("crypto_LUKS", mine)
encryption.check(disk, mine, begun=True)
assert dmcrypt.fits(disk, key) and not dmcrypt.fits(disk, lockbox.new_key().encode())
osd_retire.empty(disk, osd_uuid=mine)
assert dmcrypt.fits(disk, key)  # an OSD in clear is not what lies there
osd_retire.empty(disk, osd_uuid=mine, encrypted=True)
assert device.inspect(disk).is_free() and not dmcrypt.fits(disk, key)
with disk.open("r+b") as file:
    file.write(bytes(1 << 15) + os.urandom(1 << 16))
refused(disk, begun=False)
encryption.check(disk, mine, begun=True)  # as a killed luksFormat leaves it
with disk.open("r+b") as file:
    file.write(b"raw")
refused(disk)  # another disk under this one's name, and nothing that blkid knows
with disk.open("r+b") as file:
    file.write(f"bluestore block device\\n{others}\\n".encode())
refused(disk)
"""

REFUSED = """
import json
from pathlib import Path
from cbstorage.ceph.answers import OsdMap
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local, osd
from larva.errors import HostUnfit
disk = Path("/srv/never/there.img")
with Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors:
    before = monitors.ask("osd dump", OsdMap).epoch
    try:
        osd.ensure(monitors, disk, fsid=fsid, file_bytes=1 << 30, encrypt=True)
        result = ""
    except HostUnfit as error:
        result = error.message
    assert monitors.ask("osd dump", OsdMap).epoch == before
assert not disk.parent.exists() and osd.recall(disk, fsid) is None
"""


@pytest.fixture(scope="module")
def small(ceph_image: Image) -> Iterator[SmallCeph]:
    with running(ceph_image, places=PLACES[:1], file_system=False) as small:
        yield small


def test_the_monitors_keep_a_key_for_its_osd_and_end_it_with_the_osd(small: SmallCeph) -> None:
    small.python(KEYS, mine=str(uuid.uuid4()), others=str(uuid.uuid4()), fsid=small.fsid)


def test_only_our_own_header_is_formatted_or_erased(small: SmallCeph) -> None:
    small.python(HEADERS, mine=str(uuid.uuid4()), others=str(uuid.uuid4()))


def test_without_dm_crypt_nothing_is_written(small: SmallCeph) -> None:
    try:
        small.run(["sh", "-c", "modprobe --quiet dm-crypt; dmsetup targets"])
    except ProgramFailed:
        said = small.python(REFUSED, fsid=small.fsid)
        assert "the kernel has no dm-crypt" in said
    else:
        pytest.skip("this kernel has dm-crypt")


def told_of_three(store: Store, *, encrypt_osds: bool = False) -> Store:
    """An etcd with a storage cluster: an encrypted OSD, one that is not, and one of which its host is silent."""
    now, one = datetime.now(UTC), str(uuid.uuid4())
    specification = ClusterSpecification(
        group="g", fsid=str(uuid.uuid4()), cidr=IPv4Network("10.0.0.0/24"), mon_hosts=("h",), mgr_hosts=(),
        mds_hosts=("h",), encrypt_osds=encrypt_osds, created_at=now,
    )  # fmt: skip
    store.put(keys.cluster("g"), specification)
    addresses = (IPv4Address("10.0.0.1"),)
    told = tuple(
        Daemon(kind=DaemonKind.OSD, id=str(number), running=True, device=f"/dev/vd{number}", uuid=one, encrypted=crypt)
        for number, crypt in ((0, True), (1, False))
    )
    store.put(keys.daemons("g", "h"), HostDaemons(host="h", address=addresses[0], daemons=told))
    states = tuple(
        OsdState(id=number, host="h", up=True, is_in=True, addresses=addresses, on_cladnet=True, uuid=one)
        for number in (0, 1, 2)
    )
    state = ClusterState(
        health=Health.OK, checks=(), quorum=("h",), monitors=("h",), manager="", active_mds=(), standby_mds=(),
        osds=states, total_bytes=1, used_bytes=0, clean=None, observed_at=now,
    )  # fmt: skip
    store.put(keys.cluster_state("g"), state)
    return store


def test_an_encrypted_osd_is_replaced_by_an_encrypted_one(etcd_factory: Any) -> None:
    store = told_of_three(etcd_factory().store())
    assert [view.encrypted for view in osds.views(store)] == [True, False, None]
    osds.replace(store, 0, "/dev/vdx")
    osds.replace(store, 1, "/dev/vdy")
    osds.replace(store, 1, "/dev/vdz", encrypt=True)
    found = {str(device): addition for device, addition in records.osd_additions(store, "g", "h").items()}
    assert {device: addition.encrypt for device, addition in found.items()} == {
        "/dev/vdx": True, "/dev/vdy": False, "/dev/vdz": True,
    }  # fmt: skip
    assert all(isinstance(addition, OsdAddition) for addition in found.values())


def test_where_nobody_knows_whether_an_osd_is_encrypted_somebody_has_to_say(etcd_factory: Any) -> None:
    """Its host was installed anew, or lost its record when the one before was deleted."""
    store = told_of_three(etcd_factory().store())
    with pytest.raises(InvalidInput, match=r"whether osd\.2 is encrypted") as caught:
        osds.replace(store, 2, "/dev/vdx")
    assert "--encrypt" in caught.value.hint
    assert "--clear" in caught.value.hint
    assert records.osd_wishes(store, "g") == {}
    osds.replace(store, 2, "/dev/vdx", encrypt=True)
    osds.replace(store, 2, "/dev/vdy")
    assert [addition.encrypt for addition in records.osd_additions(store, "g", "h").values()] == [True, True]


def test_where_all_are_to_be_encrypted_nobody_has_to_say(etcd_factory: Any) -> None:
    store = told_of_three(etcd_factory().store(), encrypt_osds=True)
    with pytest.raises(InvalidInput, match="every OSD of this storage cluster is encrypted"):
        osds.replace(store, 2, "/dev/vdx", encrypt=False)
    osds.replace(store, 2, "/dev/vdx")
    assert [addition.encrypt for addition in records.osd_additions(store, "g", "h").values()] == [True]
