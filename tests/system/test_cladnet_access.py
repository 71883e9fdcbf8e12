"""What an enrolled host may do in a real etcd with TLS, and each thing that it may not."""

import contextlib
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import grpc
import pytest
from etcd3 import etcdrpc

import cbstorage.keys
from cbstorage import records
from cbstorage.leading import key_facts
from cbstorage.model import ClusterSpecification
from cladnet import keys, networks
from cladnet.access.etcd_auth import EtcdAuth
from cladnet.access.keeper import AccessKeeper
from cladnet.access.revocation import RevocationKeeper
from cladnet.access.root import root_tls
from cladnet.control.controller import Controller
from cladnet.enrol import authority, enrolment, membership
from cladnet.etcd.store import Condition, Delete, Event, Put, Relist, Store, TlsFiles
from cladnet.model import CladnetSpecification, EnrolledHost, Role
from larva import codec
from larva.errors import Refused, Unavailable

PATIENCE_S = 60.0


def until(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not so in time: {what}"
        time.sleep(0.05)


def is_refused(action: Callable[[], object]) -> bool:
    try:
        action()
    except Refused:
        return True
    return False


@dataclass
class Site:
    """A founded control node with two CLADNets and a controller, and hosts with certificates of their own."""

    node: Any
    directory: Path
    stack: contextlib.ExitStack
    root: Store
    store: Store
    red: str
    blue: str
    tls: dict[str, TlsFiles] = field(default_factory=dict)

    def enrol(self, host: str, group: str, *roles: Role) -> Store:
        """Enrol a host as the console does and return its connection to etcd."""
        wanted = roles or (Role.MEMBER,)
        secret = enrolment.create_token(self.store, group=group, roles=wanted, ttl_s=600, uses=1)
        key = authority.new_key()
        given = enrolment.redeem(
            self.store, self.node.authority(), secret=secret, csr_pem=authority.signing_request(key, host), host=host,
            roles=wanted, admit=AccessKeeper(self.root).admit,
        )  # fmt: skip
        directory = self.directory / secrets.token_hex(4)
        directory.mkdir(parents=True)
        tls = TlsFiles(ca=directory / "ca.pem", certificate=directory / "client.pem", key=directory / "client.key")
        tls.ca.write_text(given.ca_pem)
        tls.certificate.write_text(given.certificate_pem)
        tls.key.write_bytes(authority.key_pem(key))
        self.tls[host] = tls
        return self.stack.enter_context(Store(self.endpoints, tls=tls))

    @property
    def endpoints(self) -> list[str]:
        return [f"https://127.0.0.1:{self.node.ports.client}"]


@contextlib.contextmanager
def running(*loops: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=loop, args=(stop,)) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def site(control_node_factory: Any, as_host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    node = control_node_factory()
    node.found()
    with contextlib.ExitStack() as stack:
        with as_host(node.directory):
            root = stack.enter_context(Store([f"https://127.0.0.1:{node.ports.client}"], tls=root_tls()))
        store = stack.enter_context(node.store())
        made = Site(
            node, tmp_path_factory.mktemp("hosts"), stack, root, store,
            red=networks.create(store, name="red").id, blue=networks.create(store, name="blue").id,
        )  # fmt: skip
        revoked = RevocationKeeper(store, node.authority(), node.directory / "state/revoked.pem")
        loops = [AccessKeeper(root).reconciler().run, revoked.reconciler().run]
        stack.enter_context(running(Controller(store).run, *loops))
        yield made


@dataclass
class Hosts:
    """a and b are in red, c is in blue; each is a store with that host's certificate."""

    a: Store
    b: Store
    c: Store
    monitor: Store
    storage: Store


@pytest.fixture(scope="module")
def hosts(site: Site) -> Hosts:
    made = Hosts(
        a=site.enrol("a", site.red), b=site.enrol("b", site.red), c=site.enrol("c", site.blue),
        monitor=site.enrol("monitor", site.red, Role.STORAGE), storage=site.enrol("storage", site.red, Role.STORAGE),
    )  # fmt: skip
    for host in ("a", "b"):
        site.store.put(keys.rule(site.red, host), "a rule")
    site.store.put(keys.address(site.red, IPv4Address("10.0.0.9")), "b")
    site.store.put("larva/user/admin", "a password's hash")
    cluster = ClusterSpecification(
        group=site.red, fsid="00000000-0000-4000-8000-000000000000", cidr=IPv4Network("10.0.0.0/24"),
        mon_hosts=("monitor",), mgr_hosts=(), mds_hosts=(), created_at=datetime.now(UTC),
    )  # fmt: skip
    site.store.put(cbstorage.keys.cluster(site.red), cluster)
    until(
        "the monitor's host has its rights",
        lambda: not is_refused(lambda: made.monitor.put(cbstorage.keys.cluster_state(site.red), "rubbish")),
    )
    return made


def may_write(red: str) -> list[str]:
    return [
        keys.host_information(red, "a"),
        keys.presence(red, "a"),
        keys.status(red, "a"),
        keys.quality(red, "a"),
        cbstorage.keys.mount_state(red, "a", "shared"),
    ]


def may_read(red: str) -> list[str]:
    return [
        *may_write(red), keys.configuration(red), keys.command(red, "a"), keys.test_specification(red),
        keys.enrolled_host("a"), keys.CONTROL_PLANE, keys.rules_of(red), keys.rule(red, "b"), keys.hosts_of(red),
        keys.qualities_of(red),
        cbstorage.keys.cluster(red), cbstorage.keys.founding(red), cbstorage.keys.volumes_of(red),
        cbstorage.keys.mounts_on(red, "a"), cbstorage.keys.mount_keys_on(red, "a"),
        cbstorage.keys.mount_states_on(red, "a"), cbstorage.keys.volume_shares_of(red), cbstorage.keys.mirrors_of(red),
    ]  # fmt: skip


MAY_NOT_WRITE = [
    "host-network-information/{red}/b", "presence/{red}/b", "status/information/{red}/b", "networking-rule/{red}/a",
    "status/quality/{red}/b", "status/quality/{blue}/a",
    "networking-rule/{red}/b", "networking-rule/{red}/new", "address/{red}/10.0.0.9", "address/{red}/10.0.0.10",
    "released-address/{red}/10.0.0.9",
    "configuration-information/{red}", "configuration-information/new", "control-command/{red}/a",
    "cloud-override/{red}/a",
    "status/test-specification/{red}", "host-network-information/{blue}/a", "presence/{blue}/a",
    "/larva/host/a", "/larva/host/b", "/larva/token/0123", "/larva/user/admin", "/larva/control-plane",
    "/larva/revoked/0123",
    "/larva/cladnet-generation", "/cb-storage/cluster/{red}", "/cb-storage/founding/{red}",
    "/cb-storage/cluster-state/{red}", "/cb-storage/keyring/{red}/a", "/cb-storage/daemons/{red}/a",
    "/cb-storage/volume/{red}/v", "/cb-storage/volume-state/{red}/v", "/cb-storage/mount/{red}/a/v",
    "/cb-storage/volume-shares/{red}/11112222",
    "/cb-storage/mount-key/{red}/a/v", "/cb-storage/mount-state/{red}/b/v", "/anything",
]  # fmt: skip
MAY_NOT_READ = [
    "configuration-information/{blue}", "networking-rule/{blue}/", "host-network-information/{blue}/",
    "configuration-information/", "networking-rule/", "host-network-information/", "address/{red}/", "presence/{red}/",
    "released-address/{red}/", "status/information/{red}/b", "control-command/{red}/b", "cloud-override/{red}/a",
    "status/quality/{blue}/", "status/quality/", "/larva/host/b", "/larva/host/", "/larva/token/",
    "/larva/user/", "/larva/user/admin", "/larva/", "/cb-storage/", "/cb-storage/mount-key/{red}/",
    "/cb-storage/mount-key/{red}/b/", "/cb-storage/keyring/{red}/", "/cb-storage/volume/{blue}/",
]  # fmt: skip


def full(site: Site, path: str) -> str:
    name = path.format(red=site.red, blue=site.blue)
    return name[1:] if name.startswith("/") else f"{keys.ROOT}/{name}"


def test_a_host_does_its_own_work(site: Site, hosts: Hosts) -> None:
    for key in may_write(site.red):
        hosts.a.put(key, "mine")
        assert hosts.a.delete(key)
    for path in may_read(site.red):
        if path.endswith("/"):
            hosts.a.revisions(path)
        else:
            hosts.a.exists(path)
        with hosts.a.watch([path]) as watch:
            assert isinstance(next(iter(watch)), Relist)
    lease = hosts.a.lease(60)
    hosts.a.put(keys.presence(site.red, "a"), "a", lease=lease)
    assert lease.refresh()
    lease.revoke()
    assert not hosts.a.exists(keys.presence(site.red, "a"))


@pytest.mark.parametrize("path", MAY_NOT_WRITE)
def test_a_host_writes_nothing_else(site: Site, hosts: Hosts, path: str) -> None:
    key = full(site, path)
    before = site.store.revisions(key)
    own = keys.presence(site.red, "a")
    for attempt in (
        lambda: hosts.a.put(key, "mine now"),
        lambda: hosts.a.delete(key),
        lambda: hosts.a.delete_prefix(key),
        lambda: hosts.a.transact([], [Put(own, "mine"), Put(key, "mine now")]),
        lambda: hosts.a.transact([], [Put(own, "mine"), Delete(key)]),
    ):
        assert is_refused(attempt), path
    assert site.store.revisions(key) == before
    assert not site.store.exists(own), "nothing of a refused transaction may happen"


@pytest.mark.parametrize("path", MAY_NOT_READ)
def test_a_host_reads_nothing_else(site: Site, hosts: Hosts, path: str) -> None:
    place = full(site, path)
    read = hosts.a.revisions if place.endswith("/") else hosts.a.exists
    assert is_refused(lambda: read(place))
    with hosts.a.watch([place]) as watch, pytest.raises(Refused):
        next(iter(watch))
    # A comparison tells as much as reading does.
    probing = [Condition(place.rstrip("/"), 0)]
    assert is_refused(lambda: hosts.a.transact(probing, [Put(keys.presence(site.red, "a"), "a")]))


def test_a_host_reads_not_everything_at_once(hosts: Hosts) -> None:
    everything = etcdrpc.RangeRequest(key=b"\0", range_end=b"\0")
    for serializable in (False, True):
        everything.serializable = serializable
        with pytest.raises(grpc.RpcError) as refusal:
            hosts.a.cluster.endpoints[0].kv.Range(everything, timeout=10)
        assert refusal.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_a_host_ends_nobodys_lease(site: Site, hosts: Hosts) -> None:
    lease = hosts.b.lease(60)
    hosts.b.put(keys.presence(site.red, "b"), "b", lease=lease)
    request = etcdrpc.LeaseRevokeRequest(ID=lease.id)
    with pytest.raises(grpc.RpcError) as refusal:
        hosts.a.cluster.endpoints[0].lease.LeaseRevoke(request, timeout=10)
    assert refusal.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert site.store.exists(keys.presence(site.red, "b"))


ADMINISTRATION = {
    "disable": lambda end: end.auth.AuthDisable(etcdrpc.AuthDisableRequest(), timeout=10),
    "users": lambda end: end.auth.UserList(etcdrpc.AuthUserListRequest(), timeout=10),
    "add": lambda end: end.auth.UserAdd(etcdrpc.AuthUserAddRequest(name="evil", password="x"), timeout=10),
    "give": lambda end: end.auth.UserGrantRole(etcdrpc.AuthUserGrantRoleRequest(user="a", role="root"), timeout=10),
    "password": lambda end: end.auth.UserChangePassword(
        etcdrpc.AuthUserChangePasswordRequest(name="root", password="x"), timeout=10
    ),
    "log in as root": lambda end: end.auth.Authenticate(
        etcdrpc.AuthenticateRequest(name="root", password=""), timeout=10
    ),
    "snapshot": lambda end: next(end.maintenance.Snapshot(etcdrpc.SnapshotRequest(), timeout=10)),
    "defragment": lambda end: end.maintenance.Defragment(etcdrpc.DefragmentRequest(), timeout=10),
    "member": lambda end: etcdrpc.ClusterStub(end.channel).MemberAdd(
        etcdrpc.MemberAddRequest(peerURLs=["https://127.0.0.9:1"]), timeout=10
    ),
}


@pytest.mark.parametrize("what", ADMINISTRATION)
def test_a_host_administers_nothing(hosts: Hosts, what: str) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        ADMINISTRATION[what](hosts.a.cluster.endpoints[0])
    assert "permission denied" in refusal.value.details() or "no password user" in refusal.value.details()


def test_what_etcd_leaves_open_to_every_connection_also_of_a_removed_host(site: Site) -> None:
    """docs/security.md says so. Should this fail, etcd has become better: change it there."""
    past = site.enrol("past", site.red)
    past.lease(60)
    membership.remove_host(site.store, "past")
    until("past is refused", lambda: is_refused(lambda: past.exists(keys.enrolled_host("past"))))
    end = past.cluster.endpoints[0]
    past.lease(60)
    member = end.maintenance.Status(etcdrpc.StatusRequest(), timeout=10).header.member_id
    past.compact(site.store.list(keys.CONFIGURATION, CladnetSpecification).revision)

    def alarm(action: int) -> None:
        request = etcdrpc.AlarmRequest(action=action, memberID=member, alarm=etcdrpc.NOSPACE)
        end.maintenance.Alarm(request, timeout=10)

    alarm(etcdrpc.AlarmRequest.ACTIVATE)
    try:
        with pytest.raises(Unavailable, match="full"):
            site.store.put("some/key", "a value")
    finally:
        alarm(etcdrpc.AlarmRequest.DEACTIVATE)


def test_the_consoles_own_certificate_is_not_root(site: Site) -> None:
    site.store.revisions("larva/")
    with pytest.raises(grpc.RpcError):
        ADMINISTRATION["users"](site.store.cluster.endpoints[0])


def test_storage_hosts_have_their_own_and_monitors_what_they_keep(site: Site, hosts: Hosts) -> None:
    red, k = site.red, cbstorage.keys
    hosts.storage.put(k.daemons(red, "storage"), "mine")
    for key in (k.daemons(red, "monitor"), k.keyring(red, "storage"), k.cluster_state(red), k.founding(red)):
        assert is_refused(lambda key=key: hosts.storage.put(key, "mine now")), key
    for path in (k.keyrings_of(red), k.mount_keys_of(red)):
        assert is_refused(lambda path=path: hosts.storage.revisions(path)), path
    for key in (
        k.keyring(red, "storage"), k.cluster_state(red), k.volume_state(red, "v"), k.mount_key(red, "a", "v"),
        k.volume(red, "v"), k.founding(red), k.volume_shares(red, "11112222"),
    ):  # fmt: skip
        hosts.monitor.put(key, "mine")
        assert hosts.monitor.delete(key)
    # It forgets the daemons of hosts that left, and writes no mount, nor how one stands.
    assert hosts.monitor.delete(k.daemons(red, "storage"))
    for key in (k.cluster(red), k.mount(red, "a", "v"), k.mount_state(red, "a", "v"), keys.rule(red, "monitor")):
        assert is_refused(lambda key=key: hosts.monitor.put(key, "mine now")), key


def test_keys_are_replaced_by_whom_the_system_asks_and_their_states_are_the_monitors(site: Site, hosts: Hosts) -> None:
    red, k = site.red, cbstorage.keys
    wish, state = k.key_rotation(red, "all", "all"), k.key_state(red, "0" * 32)
    for store in (hosts.monitor, hosts.storage, hosts.a):
        assert records.key_rotations(store, red) == []
        assert is_refused(lambda store=store: store.put(wish, "end all keys"))
    hosts.monitor.put(state, "mine")
    key_facts.told(hosts.monitor, red)
    assert hosts.monitor.delete(state)
    for store in (hosts.storage, hosts.a):
        assert is_refused(lambda store=store: store.put(state, "mine now"))
        assert is_refused(lambda store=store: store.revisions(k.key_states_of(red)))


def test_rights_follow_a_host_into_a_network_and_out_of_it(site: Site, hosts: Hosts) -> None:
    membership.join_group(site.store, host="c", group=site.red)
    until("c may read red", lambda: not is_refused(lambda: hosts.c.revisions(keys.rules_of(site.red))))
    membership.leave_group(site.store, host="c", group=site.red)
    until("c may not any more", lambda: is_refused(lambda: hosts.c.revisions(keys.rules_of(site.red))))
    hosts.c.revisions(keys.rules_of(site.blue))
    assert is_refused(lambda: hosts.c.put(keys.presence(site.red, "c"), "c"))


def test_a_removed_host_is_refused_and_its_open_watch_is_all_that_is_left(site: Site) -> None:
    gone = site.enrol("gone", site.red)
    gone.put(keys.presence(site.red, "gone"), "here")
    own, rules = keys.enrolled_host("gone"), keys.rules_of(site.red)
    with gone.watch([own]) as mine, gone.watch([rules]) as watch:
        told, seen = iter(mine), iter(watch)
        assert isinstance(next(told), Relist)
        assert isinstance(next(seen), Relist)
        membership.remove_host(site.store, "gone")
        until("gone is refused", lambda: is_refused(lambda: gone.revisions(rules)))
        assert is_refused(lambda: gone.put(keys.presence(site.red, "gone"), "still here"))
        assert is_refused(lambda: gone.exists(own))
        event = next(told)
        assert isinstance(event, Event)
        assert event.value is None, "this is how its agent learns that it was removed"
        # etcd asks for the right to watch only once: docs/security.md says so. Should this fail, etcd is better now.
        site.store.put(keys.rule(site.red, "late"), "a rule")
        assert isinstance(next(seen), Event)
        site.store.delete(keys.rule(site.red, "late"))
    with gone.watch([rules]) as anew, pytest.raises(Refused):
        next(iter(anew))


def test_a_removed_host_gets_no_new_connection(site: Site) -> None:
    """Which is what keeps it from all that etcd would let any certificate do."""
    lost = site.enrol("lost", site.red)
    lost.exists(keys.enrolled_host("lost"))
    membership.remove_host(site.store, "lost")

    def is_turned_away() -> bool:
        with Store(site.endpoints, tls=site.tls["lost"], timeout=0.5) as anew:
            try:
                anew.exists(keys.enrolled_host("lost"))
            except Unavailable:
                return True
            except Refused:  # the list is on its way
                return False
            return False

    until("its certificate is turned away", is_turned_away)
    until("and again", is_turned_away)
    site.enrol("lost", site.red).exists(keys.enrolled_host("lost"))
    with site.node.store() as anew:
        assert anew.exists(keys.enrolled_host("control-1"))


def test_the_certificate_of_a_removed_host_does_not_come_back_with_its_name(site: Site) -> None:
    old = site.enrol("phoenix", site.red)
    old.exists(keys.enrolled_host("phoenix"))
    membership.remove_host(site.store, "phoenix")
    new = site.enrol("phoenix", site.red)
    new.put(keys.presence(site.red, "phoenix"), "me")
    until("the old one is refused", lambda: is_refused(lambda: old.exists(keys.enrolled_host("phoenix"))))
    new.put(keys.presence(site.red, "phoenix"), "still me")


def test_requests_survive_the_change_of_anybodys_rights(site: Site, hosts: Hosts) -> None:
    """Each change makes etcd refuse what was under way: "revision of auth store is old"."""
    failures: list[BaseException] = []
    count = [0]

    def work(stop: threading.Event) -> None:
        key = keys.status(site.red, "a")
        while not stop.is_set():
            try:
                hosts.a.put(key, count[0])
                hosts.a.get(key, int)
                count[0] += 1
            except Exception as error:  # noqa: BLE001 - shown by the test
                failures.append(error)
                return

    with running(work, work, work):
        for _ in range(15):
            for group in (site.red, site.blue):
                membership.join_group(site.store, host="c", group=group)
            AccessKeeper(site.root).admit("c")
            membership.leave_group(site.store, host="c", group=site.red)
            AccessKeeper(site.root).admit("c")
    assert not failures
    assert count[0] > 0


def test_two_keepers_and_enrolments_at_once_come_to_the_same(site: Site) -> None:
    """Nobody may guard users and roles by revisions: whoever loses a race looks again."""
    errors: list[BaseException] = []

    def enrol(number: int) -> None:
        try:
            store = site.enrol(f"many-{number}", site.red)
            store.put(keys.presence(site.red, f"many-{number}"), "here")
        except Exception as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [threading.Thread(target=enrol, args=(number,)) for number in range(6)]
    with running(AccessKeeper(site.root).reconciler().run):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=PATIENCE_S)
    assert not errors
    for number in range(6):
        membership.remove_host(site.store, f"many-{number}")


def test_access_control_comes_to_a_system_that_has_run_without(etcd_factory: Any) -> None:
    """Certificates of that time name the host and nothing else; their bearers keep their rights."""
    cluster = etcd_factory(tls=True)
    record = EnrolledHost(
        host="old", groups=("red",), roles=(Role.MEMBER,), certificate_serial="1", enrolled_at=datetime.now(UTC)
    )
    specification = CladnetSpecification(
        id="red", name="red", cidr=IPv4Network("10.1.0.0/24"), created_at=datetime.now(UTC)
    )
    with (
        Store(cluster.endpoints, tls=cluster.user_files("root")) as root,
        Store(cluster.endpoints, tls=cluster.user_files("control")) as control,
        Store(cluster.endpoints, tls=cluster.user_files("old")) as old,
        Store(cluster.endpoints, tls=cluster.user_files("stranger")) as stranger,
    ):
        stranger.put(keys.configuration("red"), specification)
        stranger.put(keys.enrolled_host("old"), record)
        stranger.put(keys.enrolled_host("root"), replace(record, host="root"))
        keeper = AccessKeeper(root)
        keeper.reconcile()
        stranger.put("still", "open")  # nobody could administer it otherwise
        stranger.put(keys.enrolled_host("control"), replace(record, host="control", roles=(Role.CONTROL,)))
        for _ in range(2):
            keeper.reconcile()
            AccessKeeper(root).reconcile()
        assert is_refused(lambda: stranger.exists("still"))
        control.put("still", "mine")
        old.put(keys.presence("red", "old"), "here")
        assert is_refused(lambda: old.put(keys.rule("red", "old"), "mine"))
        cluster.kill()
        cluster.start()
        assert is_refused(lambda: stranger.exists("still"))
        old.put(keys.presence("red", "old"), "here")


def test_a_join_costs_the_same_calls_among_many_as_among_few(etcd_factory: Any) -> None:
    """What the keeper asks etcd for when one more record comes, and when it goes, by name of the call."""
    cluster = etcd_factory(tls=True)
    with Store(cluster.endpoints, tls=cluster.user_files("root")) as root:
        record = EnrolledHost(
            host="c", groups=("red",), roles=(Role.CONTROL,), certificate_serial="1", enrolled_at=datetime.now(UTC)
        )
        root.put(keys.enrolled_host("c"), record)
        asked: Counter[str] = Counter()
        now = [0.0]
        keeper = AccessKeeper(root, clock=lambda: now[0])
        keeper._look()
        for prefix in (keys.ENROLLED_HOST, "cb-storage/"):
            keeper._note(Relist(1, prefix))  # the watch stands
        keeper._look()
        call = root.cluster.call

        def counted(doing: str, function: Any) -> Any:
            asked[" ".join(re.sub(r"\bh\d+\b", "HOST", doing).split()[:2])] += 1
            return call(doing, function)

        root.cluster.call = counted  # type: ignore[method-assign]

        def cost(change: Callable[[], object], key: str) -> Counter[str]:
            change()
            found = root.raw(key)
            keeper._note(Event(key, found.items[0].value if found.items else None, found.revision))
            asked.clear()
            keeper._look()
            return Counter(asked)

        def join(number: int) -> Counter[str]:
            key = keys.enrolled_host(f"h{number}")
            return cost(lambda: root.put(key, replace(record, host=f"h{number}", roles=(Role.MEMBER,))), key)

        few = join(0)
        for number in range(1, 20):
            assert join(number) == few
        assert few["add user"] == 1
        assert not [doing for doing in few if doing.startswith("list etcd's")]
        key = keys.enrolled_host("h3")
        gone = cost(lambda: root.delete(key), key)
        assert (gone["delete user"], gone["delete role"]) == (1, 1)
        assert not [doing for doing in gone if doing.startswith("list etcd's")]
        auth = EtcdAuth(root.cluster)
        assert auth.roles_of("h3") is auth.permissions_of("h3") is None

        # A record that came and went between two looks: an enrolment may have given its user rights.
        auth.add_role("ghost")
        auth.add_user("ghost")
        ghost = codec.encode(replace(record, host="ghost", roles=(Role.MEMBER,)))
        keeper._note(Event(keys.enrolled_host("ghost"), ghost, root.raw("x").revision))
        keeper._note(Event(keys.enrolled_host("ghost"), None, root.raw("x").revision + 1))
        keeper._look()
        assert "ghost" not in auth.users() | auth.roles()
        auth.add_user("nobody")  # of an enrolment that lost a race with a removal
        keeper._look()
        assert "nobody" in auth.users()
        now[0] += 61
        keeper._look()
        assert "nobody" not in auth.users()
