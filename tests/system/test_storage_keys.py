"""Cephx keys that are replaced, on a real small Ceph and a real etcd: under a writing mount, by leaders that die."""

import contextlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from click.testing import CliRunner
from small_ceph import Mount, SmallCeph

import cladnet.keys
from cbstorage import keys, records
from cbstorage.ceph import cephx, sealed_keys
from cbstorage.commands.storage import storage
from cbstorage.leading.key_facts import state_key
from cbstorage.model import (
    FILE_SYSTEM,
    ClusterSpecification,
    HeldKey,
    HostDaemons,
    MountPhase,
    MountSpecification,
    MountState,
    SealedKeys,
    VolumeSpecification,
)
from cbstorage.rotation_model import KeyPhase, KeyRotation, KeyState, RotationScope
from cbstorage.wanted import connections, rotation
from cbstorage.wanted.connections import Ticket
from cladnet import seal
from cladnet.etcd.store import Store
from cladnet.model import CladnetSpecification, CloudFacts, EnrolledHost, HostNetworkInformation, NetworkingRule, Role
from larva.errors import LarvaError, NotFound

pytestmark = [pytest.mark.root, pytest.mark.image]

GROUP, MON, AWAY = "demo-1", "aws-1", "gcp-1"
HOSTS = (MON, AWAY, "azure-1")
OWN = cephx.storage_host(AWAY)
VOLUME = VolumeSpecification(
    group=GROUP, name="data", id="0a1b2c3d", size_bytes=1 << 30, created_at=datetime(2026, 1, 1, tzinfo=UTC)
)
ENTITY = VOLUME.entity(AWAY)
PATH = "/mnt/kept"

LOOK = """
import os, sys
from cbstorage import view
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading.key_keeper import KeyKeeper
from cladnet.etcd.store import Store

def dying(function, prefixes=()):
    def run(*words, **named):
        answer = function(*words, **named)
        if not prefixes or words[0] in prefixes:
            print("died", file=sys.stderr)
            os._exit(9)
        return answer
    return run

effects = ["auth get-or-create-pending", "auth clear-pending", "auth commit-pending"]
with Store(endpoints) as store:
    with Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors:
        seen = view.read(store, group)
        if dies:
            monitors.run = dying(monitors.run, effects)
            for name in ("put", "replace", "create", "delete"):
                setattr(store, name, dying(getattr(store, name)))
        result = KeyKeeper(store, group, host).tend(monitors, seen)
"""
MAKE = """
from pathlib import Path
from cbstorage.ceph import cephx
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local, services
from cbstorage.leading import tree
keyring = local.keyring_of("client.admin")
tree.run(tree.Order(keyring=keyring, entity="client.admin",
                    make=(tree.Make(path=path, namespace=namespace, size_bytes=1 << 30),)))
with Monitors(local.CONFIGURATION, entity="client.admin", keyring=keyring) as monitors:
    result = {name: services.get_or_create(monitors, name, granted).key for name, granted in caps.items()}
"""
HOST = """
from cbstorage.ceph.cephx import Identity
from cbstorage.host import local
from cbstorage.host.key_files import KeyFiles
from larva import codec

def identities(found):
    return {entity: Identity(entity=entity, key=key) for entity, key in found.items()}

files, one, two = KeyFiles(host), identities(present), identities(following)
local.ceph_owner = lambda: (0, 0)  # its daemons run as root here
files.write_client(one, two, entity)
files.write_daemons(one, two)
before = local.keyring_of(entity).read_text()
files.connect(one, two, entity).close()
exchanged = local.keyring_of(entity).read_text() != before
result = {"exchanged": exchanged, "keys": codec.to_builtins(files.held())}
"""
CONNECT = """
from cbstorage import records
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading.connection_keeper import ConnectionKeeper
from cladnet.etcd.store import Store
with Store(endpoints) as store:
    with Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors:
        volumes = {name: item.value for name, item in records.volumes(store, group).items()}
        result = ConnectionKeeper(store, group, lambda *_: None).act(monitors, volumes)
"""
KEEP = """
import ipaddress, os, subprocess, time, types
os.environ["LARVA_STATE"] = "/run/larva-state"
from pathlib import Path
Path("/run/larva-state").mkdir(exist_ok=True)
from cbstorage import view
from cbstorage.host import systemd
from cbstorage.model import Monitor
from cbstorage.mounting.mounts import MountKeeper
from cladnet.etcd.store import Store
from cladnet.member import Identity

class Units:
    # As systemd's, of which there is none here: one process each.
    running = {}
    def start(self, unit, argv, *, properties):
        null = subprocess.DEVNULL
        self.running[unit] = subprocess.Popen([*map(str, argv)], stdin=null, stdout=null, stderr=null)
    def state(self, unit):
        return "active" if unit in self.running and self.running[unit].poll() is None else "inactive"
    def stop(self, unit):
        if self.state(unit) == "active":
            self.running[unit].terminate()
            try:
                self.running[unit].wait(10)
            except subprocess.TimeoutExpired:
                self.running[unit].kill()
                self.running[unit].wait()

units = Units()
systemd.run_as_unit, systemd.state, systemd.stop = units.start, units.state, units.stop
systemd.last_words = lambda *_: ""
Identity.load = lambda: types.SimpleNamespace(seal_private=private)
view.View.monitors = lambda _: (Monitor(host="aws-1", address=ipaddress.IPv4Address(address)),)
with Store(endpoints) as store:
    keeper = MountKeeper(store, group, host)
    while os.path.exists(until):
        keeper.reconcile()
        time.sleep(0.3)
    keeper.release()
"""
WRITER = """
import os, sys
number = 0
with open("log", "ab") as file:
    while not os.path.exists(sys.argv[1]):
        number += 1
        file.write(b"%8d\\n" % number)
        file.flush()
        os.fsync(file.fileno())
print(number)
"""


class Site:
    """A small Ceph with one monitor's host and two storage hosts more, as etcd and Ceph know them."""

    def __init__(self, small: SmallCeph, etcd: Any) -> None:
        self.small = small
        self.endpoints = list(etcd.endpoints)
        self.store: Store = etcd.store()
        self.pairs = {host: seal.new_pair() for host in HOSTS}
        self.deaths = 0
        self.exchanges = 0
        """How often the monitor's host found its administrator's key refused, and had another one."""

    def prepare(self) -> None:
        """Write what controller, agents and the keepers of volumes would have."""
        now, cloud = datetime.now(UTC), CloudFacts(provider="aws", region="r")
        cidr = IPv4Network("192.168.10.0/26")
        put = self.store.put
        put(cladnet.keys.configuration(GROUP), CladnetSpecification(id=GROUP, name="demo", cidr=cidr, created_at=now))
        cluster = ClusterSpecification(
            group=GROUP, fsid=self.small.fsid, cidr=cidr, mon_hosts=(MON,), mgr_hosts=(), mds_hosts=(MON,),
            created_at=now,
        )  # fmt: skip
        put(keys.cluster(GROUP), cluster)
        for number, host in enumerate(HOSTS, 2):
            roles = (Role.STORAGE, Role.MEMBER)
            information = HostNetworkInformation(
                host=host, public_address=None, interfaces=(), listen_port=1, public_key="",
                seal_key=self.pairs[host][1], cloud=cloud, roles=roles,
            )  # fmt: skip
            address = IPv4Address(f"192.168.10.{number}")
            put(cladnet.keys.host_information(GROUP, host), information)
            put(
                cladnet.keys.rule(GROUP, host),
                NetworkingRule(host=host, address=address, public_key="", endpoints=(), cloud=cloud),
            )
            enrolled = EnrolledHost(host=host, groups=(GROUP,), roles=roles, certificate_serial="1", enrolled_at=now)
            put(cladnet.keys.enrolled_host(host), enrolled)
        put(keys.volume(GROUP, VOLUME.name), VOLUME)
        caps = {
            ENTITY: cephx.volume_caps(
                file_system=FILE_SYSTEM, path=VOLUME.path, data_pool=VOLUME.data_pool, namespace=VOLUME.namespace
            ),
            OWN: cephx.STORAGE_HOST_CAPS,
        }
        made = self.small.python(MAKE, path=VOLUME.path, namespace=VOLUME.namespace, caps=caps)
        self.give(keys.mount_key(GROUP, AWAY, VOLUME.name), AWAY, {ENTITY: made[ENTITY]})
        self.give(keys.keyring(GROUP, AWAY), AWAY, {OWN: made[OWN]})
        self.give(keys.keyring(GROUP, MON), MON, {name: self.key(name) for name in (cephx.MON, cephx.ADMIN)})

    def give(self, key: str, host: str, found: dict[str, str]) -> None:
        identities = [cephx.Identity(entity=entity, key=one) for entity, one in found.items()]
        self.store.put(key, sealed_keys.seal_keys(self.pairs[host][1], identities))

    def key(self, entity: str) -> str:
        """What Ceph has now."""
        return str(self.small.ceph("auth", "get", entity)[0]["key"])

    def look(self, *, dies: bool = False) -> bool:
        """Let the leading host look once; with `dies`, only until its first effect. True when it wants to go on."""
        try:
            return bool(self.small.python(LOOK, endpoints=self.endpoints, group=GROUP, host=MON, dies=dies))
        except LarvaError as error:
            if "refuse this host's key" in error.message:
                self.exchanges += self.on_monitors_host()
            elif not (dies and "died" in error.message):
                raise
            else:
                self.deaths += 1
            return True

    def settle(self, *, dies: bool = False) -> None:
        for _ in range(60):
            if not self.look(dies=dies):
                return
        raise AssertionError("it does not come to an end")

    def shown(self, ask: Callable[..., Ticket]) -> str:
        """Ask for a key of a machine outside, while the leading host looks; return it."""
        with ThreadPoolExecutor(1) as pool:
            ticket = pool.submit(ask, self.store, GROUP, VOLUME.name, "laptop")
            while not ticket.done():
                self.small.python(CONNECT, endpoints=self.endpoints, group=GROUP)
            return ticket.result().identity.key

    def opened(self, key: str, host: str) -> tuple[dict[str, str], dict[str, str]]:
        """The keys and those that follow them, as their host reads them."""
        sealed = self.store.get(key, SealedKeys)
        assert sealed is not None
        private = self.pairs[host][0]
        both = sealed_keys.open_keys(private, sealed.value), sealed_keys.open_next(private, sealed.value)
        return {one.entity: one.key for one in both[0].values()}, {one.entity: one.key for one in both[1].values()}

    def mount_key(self) -> tuple[str, str]:
        present, following = self.opened(keys.mount_key(GROUP, AWAY, VOLUME.name), AWAY)
        return present[ENTITY], following.get(ENTITY, "")

    def report_mount(self, key: str) -> None:
        """Say what its MountKeeper would."""
        state = MountState(
            volume=VOLUME.name, volume_id=VOLUME.id, host=AWAY, path="/srv/data", phase=MountPhase.MOUNTED,
            key=cephx.fingerprint(key),
        )  # fmt: skip
        records.tell(self.store, keys.mount_state(GROUP, AWAY, VOLUME.name), state)

    def on_monitors_host(self) -> bool:
        """Let the monitor's host take up its keys and report; whether it had to exchange a refused one."""
        present, following = self.opened(keys.keyring(GROUP, MON), MON)
        done = self.small.python(HOST, host=MON, present=present, following=following, entity=cephx.ADMIN)
        held = tuple(HeldKey(**one) for one in done["keys"])
        records.tell(self.store, keys.daemons(GROUP, MON), HostDaemons(host=MON, address=None, keys=held))
        return bool(done["exchanged"])

    def state(self, entity: str) -> KeyState:
        found = self.store.get(state_key(GROUP, entity), KeyState)
        assert found is not None, entity
        return found.value

    def logs_in(self, entity: str, key: str) -> bool:
        self.small.write("/run/try.keyring", cephx.keyring(cephx.Identity(entity=entity, key=key)))
        words = ["--connect-timeout", "20", "--name", entity, "--keyring", "/run/try.keyring", "mon", "stat"]
        try:
            return "mons at" in self.small.run(["ceph", *words])
        except LarvaError as error:
            if "permission denied" not in error.message:
                raise
            return False


@pytest.fixture
def site(small_ceph: SmallCeph, etcd_factory: Any) -> Iterator[Site]:
    made = Site(small_ceph, etcd_factory(address=str(small_ceph.outside)))
    made.prepare()
    try:
        yield made
    finally:
        small_ceph.keys[cephx.ADMIN] = made.key(cephx.ADMIN)
        for entity in (ENTITY, OWN):
            small_ceph.ceph("auth", "rm", entity)


def write(mount: Mount, until: str) -> Any:
    return mount.start(["python3", "-c", WRITER, until])


def test_every_key_is_replaced_while_a_host_writes_and_each_leader_dies(site: Site) -> None:
    """Each leader dies right after its first effect, so that another takes over between any two."""
    small, old = site.small, {entity: site.key(entity) for entity in (ENTITY, OWN, cephx.ADMIN, "osd.0", cephx.MON)}
    site.report_mount(old[ENTITY])
    site.settle()
    assert {one.entity for one in rotation.views(site.store, GROUP)} >= {ENTITY, OWN, cephx.ADMIN, "osd.0", "osd.1"}
    assert cephx.MON not in {one.entity for one in rotation.views(site.store, GROUP)}
    small.run(["rm", "-f", "/run/enough"])
    with small.mount(VOLUME.path, entity=ENTITY, key=old[ENTITY]) as mount:
        writer = write(mount, "/run/enough")
        rotation.ask(site.store, GROUP, RotationScope.ALL)
        site.settle(dies=True)
        present, following = site.mount_key()
        assert present == old[ENTITY] != following
        assert site.state(ENTITY).phase is KeyPhase.MADE
        site.settle()
        assert site.key(ENTITY) == old[ENTITY], "nothing is committed before its host has it"

        site.report_mount(following)
        site.settle(dies=True)
        assert site.state(ENTITY).phase is KeyPhase.HELD
        assert not site.on_monitors_host()
        site.settle(dies=True)
        assert site.exchanges == 1, "the administrator's key is committed once all have the next one"
        assert not site.on_monitors_host()
        assert site.state(cephx.ADMIN).number == 1
        assert not site.logs_in(cephx.ADMIN, old[cephx.ADMIN])
        assert site.key(cephx.MON) == old[cephx.MON]

        with small.mount(VOLUME.path, entity=ENTITY, key=old[ENTITY]):
            pass  # a host that restarts meanwhile gets in by either
        with small.mount(VOLUME.path, entity=ENTITY, key=following) as again:
            small.wait("the old key ends by itself", lambda: site.key(ENTITY) == following)
            assert again.read("log")
        small.wait("it is refused", lambda: not site.logs_in(ENTITY, old[ENTITY]))
        site.settle(dies=True)
        assert site.mount_key() == (following, "")
        assert (site.state(ENTITY).number, site.state(ENTITY).phase) == (1, KeyPhase.CURRENT)
        small.run(["touch", "/run/enough"])
        written = int(writer.communicate(timeout=60)[0])
        assert mount.read("log").splitlines() == [b"%8d" % number for number in range(1, written + 1)]

    _, for_host = site.opened(keys.keyring(GROUP, AWAY), AWAY)
    assert site.logs_in(OWN, for_host[OWN])
    small.wait("its first word ends the old one", lambda: site.key(OWN) == for_host[OWN])

    small.kill("osd.0")
    small.start_daemon("osd.0")
    small.wait("osd.0 is up by its next key", lambda: site.key("osd.0") != old["osd.0"])
    site.settle()
    assert site.state(OWN).number == site.state("osd.0").number == 1
    assert site.deaths > 20
    before = site.store.revisions(keys.KEY_STATE)
    site.settle()
    assert site.store.revisions(keys.KEY_STATE) == before, "one wish replaces a key once"


def test_a_login_by_a_wrong_key_ends_the_old_one_and_locks_nobody_out(site: Site) -> None:
    """Ceph 18.2.7 commits a next key when anybody fails to log in; here before the next one was sealed to any host."""
    old = site.key(cephx.ADMIN)
    rotation.ask(site.store, GROUP, RotationScope.HOST, MON)
    for _ in range(30):
        site.look(dies=True)
        if "pending_key" in site.small.ceph("auth", "get", cephx.ADMIN)[0]:
            break
    _, following = site.opened(keys.keyring(GROUP, MON), MON)
    assert cephx.ADMIN not in following, "its leader died before anybody had it"
    assert not site.logs_in(cephx.ADMIN, cephx.new_key(created_s=1))
    site.small.wait("the old key is good no more", lambda: not site.logs_in(cephx.ADMIN, old))
    assert site.on_monitors_host(), "it asks its own monitor"
    assert not site.on_monitors_host()
    site.settle()
    present, following = site.opened(keys.keyring(GROUP, MON), MON)
    assert present[cephx.ADMIN] == site.key(cephx.ADMIN) != old
    assert cephx.ADMIN not in following
    assert site.state(cephx.ADMIN).number == 1


def test_a_host_mounts_anew_when_nobody_looks_or_when_it_has_to(site: Site) -> None:
    """The reconciler of mounts itself, with ceph-fuse: a key waits while a file is open, or ends at once."""
    small, store, until = site.small, site.store, "/run/keep-on"
    at = f"{PATH}/open"
    wish = MountSpecification(volume=VOLUME.name, volume_id=VOLUME.id, host=AWAY, path=PATH)
    store.put(keys.mount(GROUP, AWAY, VOLUME.name), wish)
    small.run(["touch", until])

    def keep() -> None:
        small.python(
            KEEP, endpoints=site.endpoints, group=GROUP, host=AWAY, private=site.pairs[AWAY][0], until=until,
            address=str(small.address), timeout=400,
        )  # fmt: skip

    def mounted() -> bool:
        assert not keeper.done(), keeper.result()
        found = store.get(keys.mount_state(GROUP, AWAY, VOLUME.name), MountState)
        return found is not None and found.value.phase is MountPhase.MOUNTED

    def ask(**how: bool) -> tuple[str, KeyRotation]:
        return site.key(ENTITY), rotation.ask(store, GROUP, RotationScope.VOLUME, VOLUME.name, **how)

    with ThreadPoolExecutor(1) as pool:
        keeper = pool.submit(keep)
        try:
            small.wait("it is mounted", mounted)
            site.settle()
            program = small.start(["sh", "-c", 'exec 3>"$0"; echo written >&3; read end', at])
            old, asked = ask(remount=True)
            small.wait("its host has both", lambda: not site.look() and site.state(ENTITY).phase is KeyPhase.HELD)
            assert site.key(ENTITY) == old, "somebody has a file open there"
            assert [one.in_use for one in rotation.wait(store, asked, timeout_s=60)] == [True]
            program.communicate(b"\n", timeout=60)
            small.wait("it is mounted by its new key", lambda: site.key(ENTITY) != old)
            site.settle()
            small.wait("it says so", lambda: not any(one.in_use for one in rotation.wait(store, asked, timeout_s=60)))
            assert small.run(["cat", at]) == "written\n"
            old, _ = ask(now=True)
            site.settle()
            small.wait("it is refused", lambda: not site.logs_in(ENTITY, old))
            alive = ["timeout", "--signal=KILL", "20", "sh", "-c", 'cat "$0" || :', at]
            small.wait("it is mounted again", lambda: small.run(alive, ok_codes=(0, 137)) == "written\n")
            assert site.state(ENTITY).number == 2
        finally:
            small.run(["rm", "-f", until])
            keeper.result(timeout=120)


def test_at_once_means_that_who_has_the_old_key_is_shut_out(site: Site) -> None:
    old = site.key(ENTITY)
    site.settle()
    with site.small.mount(VOLUME.path, entity=ENTITY, key=old) as mount:
        mount.write("before", b"before")
        wish = rotation.ask(site.store, GROUP, RotationScope.VOLUME, VOLUME.name, now=True)
        site.settle(dies=True)
        site.settle()
        (done,) = rotation.wait(site.store, wish, timeout_s=0)
        assert (done.entity, done.number, done.waiting) == (ENTITY, 1, False)
        site.small.wait("it is refused", lambda: not site.logs_in(ENTITY, old))
        with pytest.raises(LarvaError):
            mount.run(["timeout", "30", "sh", "-c", "echo more > after && sync after"])
    new, following = site.mount_key()
    assert new != old
    assert not following
    with site.small.mount(VOLUME.path, entity=ENTITY, key=new) as mount:
        assert mount.read("before") == b"before"


def test_a_machine_outside_gets_another_key_beside_its_own(site: Site) -> None:
    first = site.shown(connections.connect)
    with pytest.raises(NotFound, match="no machine tablet"):
        connections.renew(site.store, GROUP, VOLUME.name, "tablet")
    second, again = site.shown(connections.renew), site.shown(connections.renew)
    assert first != second == again, "one that was not seen is told once more"
    entity = records.connections_of(site.store, GROUP)[VOLUME.name, "laptop"].value.entity
    assert site.logs_in(entity, first)
    with site.small.mount(VOLUME.path, entity=entity, key=second) as mount:
        mount.write("outside", b"outside")
    site.small.wait("its first use ends the other", lambda: not site.logs_in(entity, first))
    assert site.shown(connections.renew) not in (first, second)
    connections.disconnect(site.store, GROUP, VOLUME.name, "laptop")
    site.small.python(CONNECT, endpoints=site.endpoints, group=GROUP)
    assert not site.logs_in(entity, second)


def test_no_sealed_value_names_whose_key_a_host_gets(site: Site) -> None:
    """Who writes etcd asks for the administrator's next key in a mount's place, and for a stranger's seal key."""
    site.give(keys.mount_key(GROUP, AWAY, VOLUME.name), AWAY, {cephx.ADMIN: site.key(ENTITY)})
    stranger, public = seal.new_pair()
    site.pairs[AWAY] = (stranger, public)
    site.give(keys.keyring(GROUP, AWAY), AWAY, {OWN: site.key(OWN)})
    rotation.ask(site.store, GROUP, RotationScope.HOST, AWAY)
    before = site.store.revisions(keys.MOUNT_KEY), site.store.revisions(keys.KEYRING)
    site.settle()
    assert (site.store.revisions(keys.MOUNT_KEY), site.store.revisions(keys.KEYRING)) == before
    assert "pending_key" not in json.dumps(site.small.ceph("auth", "get", cephx.ADMIN))
    with pytest.raises(NotFound, match="no host nobody"):
        rotation.ask(site.store, GROUP, RotationScope.HOST, "nobody")


def test_keys_on_the_command_line(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "of_this_host", classmethod(lambda _: contextlib.nullcontext(site.store)))

    def run(*words: str) -> str:
        done = CliRunner().invoke(storage, words, catch_exceptions=True)
        return f"{done.output}{done.exception or ''}"

    assert "no key yet" in run("keys")
    site.settle()
    shown = {one["entity"]: one for one in json.loads(run("keys", "--json"))}
    assert shown[ENTITY]["hosts"] == [AWAY]
    assert (shown[ENTITY]["number"], shown[ENTITY]["doing"]) == (0, "")
    assert "say whose keys" in run("rotate-keys")
    assert "say whose keys" in run("rotate-keys", "--all", "--host", AWAY)
    assert "no volume 'other'" in run("rotate-keys", "--volume", "other")
    assert "Aborted" in run("rotate-keys", "--all", "--now")
    assert not site.store.revisions(keys.KEY_ROTATION)
    assert f"not replaced yet after 0.1 s\n{ENTITY}" in run("rotate-keys", "--volume", "data", "--wait", "0.1")
    assert "to be replaced" in run("keys")
    site.settle()
    site.report_mount(site.mount_key()[1])
    site.settle()
    said = run("keys")
    assert "uses it when it mounts or starts the next time" in said
    assert "1 wait for a next mount" in run("rotate-keys", "--volume", "data", "--wait", "1")
    assert not any(site.key(entity) in said for entity in (ENTITY, OWN, cephx.ADMIN))
