"""An SMB gateway with a real Samba server and client, a real volume and a real etcd: who gets in, and who no more."""

import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from small_ceph import Mount, SmallCeph

import cladnet.keys
from cbstorage import keys
from cbstorage.model import MountSpecification, VolumeSpecification
from cbstorage.smb import records, shares
from cladnet.etcd.store import Store
from cladnet.model import CladnetSpecification, CloudFacts, HostNetworkInformation, NetworkingRule, Role
from larva.errors import InvalidInput, NotFound, ProgramFailed

pytestmark = pytest.mark.root

GROUP, HOST, VOLUME, ID = "demo-1", "gate-1", "data", "0a1b2c3d"
PASSWORD = "correct horse battery"
ALICE, BOB = "alice", "bob"
STATE = "/run/larva-state"
FILE = f"{STATE}/smb/smb.conf"

RECONCILE = """
import os, subprocess
null = subprocess.DEVNULL  # a daemon that held our pipe would never let us end
from pathlib import Path
os.environ["LARVA_STATE"] = state
Path(state).mkdir(exist_ok=True)
from cbstorage.smb import gateway, server
from cladnet.etcd.store import Store
from cladnet.member import Identity

class Daemon:
    # As the unit of the appliance, but without systemd.
    def start(self):
        if self.runs():
            return False
        Path("/run/larva-smb").mkdir(exist_ok=True)
        argv = ["smbd", "--daemon", f"--configfile={place.file}"]
        subprocess.run(argv, check=True, timeout=60, stdin=null, stdout=null, stderr=null)
        return True
    def runs(self):
        pid = Path("/run/larva-smb/smbd.pid")
        return pid.exists() and Path(f"/proc/{pid.read_text().strip()}").exists()
    def reread(self):
        server.control(place.file, "reload-config")
    def cut(self, share):
        server.control(place.file, "close-share", share)
    def stop(self):
        subprocess.run(["pkill", "-KILL", "-x", "smbd"], timeout=60)
        Path("/run/larva-smb/smbd.pid").unlink(missing_ok=True)

place = gateway.Place.of_this_host()
if endpoints:
    with Store(endpoints) as store:
        gateway.SmbGateway(store, group, host, place=place, server=Daemon()).reconcile()
result = Identity.load().seal_public
"""
ACCOUNTS = """
from pathlib import Path
from cbstorage.smb import accounts
result = [sorted(accounts.ours()), sorted(accounts.known_to_samba(Path(file)))]
"""


class Site:
    """One gateway beside a small Ceph, with a volume mounted by ceph-fuse."""

    def __init__(self, small: SmallCeph, mount: Mount, etcd: Any) -> None:
        self.small = small
        self.volume = mount
        self.endpoints = list(etcd.endpoints)
        self.store: Store = etcd.store()
        self.seal_key = small.python(RECONCILE, state=STATE, endpoints=[], group=GROUP, host=HOST)

    def prepare(self) -> None:
        """Write what controller, agent and users would have."""
        cloud = CloudFacts(provider="aws", region="r")
        now = datetime.now(UTC)
        network = CladnetSpecification(id=GROUP, name="demo", cidr=IPv4Network("192.168.10.0/26"), created_at=now)
        information = HostNetworkInformation(
            host=HOST, public_address=None, interfaces=(), listen_port=1, public_key="", seal_key=self.seal_key,
            cloud=cloud, roles=(Role.GATEWAY,),
        )  # fmt: skip
        rule = NetworkingRule(host=HOST, address=IPv4Address("192.168.10.2"), public_key="", endpoints=(), cloud=cloud)
        volume = VolumeSpecification(group=GROUP, name=VOLUME, id=ID, size_bytes=1 << 30, created_at=now)
        self.store.put(cladnet.keys.configuration(GROUP), network)
        self.store.put(cladnet.keys.host_information(GROUP, HOST), information)
        self.store.put(cladnet.keys.rule(GROUP, HOST), rule)
        self.store.put(keys.volume(GROUP, VOLUME), volume)
        self.mounted_at(self.volume.path)

    def mounted_at(self, path: str) -> None:
        wish = MountSpecification(volume=VOLUME, volume_id=ID, host=HOST, path=path)
        self.store.put(keys.mount(GROUP, HOST, VOLUME), wish)

    def users(self, **passwords: str) -> None:
        for user, password in passwords.items():
            shares.set_password(self.store, GROUP, user, password)

    def share(self, *writers: str, readers: tuple[str, ...] = ()) -> None:
        shares.share(self.store, GROUP, VOLUME, HOST, writers=writers, readers=readers)

    def reconcile(self) -> None:
        self.small.python(RECONCILE, state=STATE, endpoints=self.endpoints, group=GROUP, host=HOST)

    def accounts(self) -> tuple[list[str], list[str]]:
        """Those made on the gateway, and those that Samba knows."""
        ours, samba = self.small.python(ACCOUNTS, file=FILE)
        return ours, samba

    def there(self, path: str) -> bool:
        """Whether the volume has it."""
        try:
            self.volume.run(["test", "-e", path])
        except ProgramFailed:
            return False
        return True

    def smbclient(self, user: str, password: str) -> list[str]:
        return ["smbclient", f"//{self.small.address}/{VOLUME}", "--user", f"{user}%{password}"]

    def client(self, user: str, password: str, *commands: str, words: tuple[str, ...] = ()) -> tuple[int, str]:
        """Run commands from another machine, asked again while the server is still starting."""
        argv = [*self.smbclient(user, password), *words, "--command", "; ".join(commands)]
        deadline = time.monotonic() + 30
        while True:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
            if "CONNECTION_REFUSED" not in done.stdout + done.stderr or time.monotonic() > deadline:
                return done.returncode, done.stdout + done.stderr
            time.sleep(0.1)


@pytest.fixture(scope="module")
def volume(small_ceph: SmallCeph) -> Iterator[Mount]:
    with small_ceph.mount() as mount:
        yield mount


@pytest.fixture
def site(small_ceph: SmallCeph, volume: Mount, etcd_factory: Any) -> Site:
    etcd = etcd_factory(address=str(small_ceph.outside))
    made = Site(small_ceph, volume, etcd)
    made.reconcile()  # the etcd of this test wants nothing yet: what an earlier one left goes
    made.prepare()
    return made


def test_users_read_and_write_what_they_may(site: Site, small_ceph: SmallCeph) -> None:
    site.users(alice=PASSWORD, bob=PASSWORD)
    site.share(ALICE, readers=(BOB,))
    site.reconcile()
    assert shares.list_all(site.store, GROUP)[0].serving
    code, words = site.client(ALICE, PASSWORD, "mkdir papers", "put /etc/hostname papers/name")
    assert code == 0, words
    assert site.volume.read("papers/name") == Path("/etc/hostname").read_bytes()
    assert "name" in site.client(BOB, PASSWORD, "ls papers/*")[1]
    assert "ACCESS_DENIED" in site.client(BOB, PASSWORD, "del papers/name")[1]
    assert site.there("papers/name")
    with small_ceph.mount() as elsewhere:  # another cloud's host writes: a client of the gateway reads just that
        elsewhere.write("papers/name", b"written elsewhere")
        assert "written elsewhere" in site.client(BOB, PASSWORD, "get papers/name /dev/stdout")[1]


def test_strangers_and_old_dialects_are_turned_away(site: Site) -> None:
    site.users(alice=PASSWORD, bob=PASSWORD)
    site.share(ALICE)
    site.reconcile()
    assert site.client(ALICE, PASSWORD, "ls")[0] == 0
    for user, password in ((ALICE, "wrong"), (BOB, PASSWORD), ("root", PASSWORD), ("", "")):
        code, words = site.client(user, password, "ls")
        assert code != 0, f"{user or 'nobody'} got in"
        assert "blocks available" not in words
    assert site.client(ALICE, PASSWORD, "ls", words=("--max-protocol", "SMB2_10"))[0] != 0
    assert PASSWORD not in site.small.run(["cat", FILE])
    assert site.small.run(["stat", "--format", "%a", f"{STATE}/smb"]).strip() == "700"


def test_a_link_out_of_the_volume_leads_nowhere(site: Site) -> None:
    site.users(alice=PASSWORD)
    site.share(ALICE)
    site.reconcile()
    site.volume.run(["sh", "-c", "ln -sfn /etc out; ln -sfn /etc/passwd passwd"])
    for command in ("ls out/*", "get out/passwd /dev/stdout", "get passwd /dev/stdout"):
        _, words = site.client(ALICE, PASSWORD, command)
        assert "root:" not in words
        assert "NT_STATUS" in words


def test_who_is_taken_off_a_share_is_cut_off(site: Site) -> None:
    site.users(alice=PASSWORD, bob=PASSWORD)
    site.share(ALICE, BOB)
    site.reconcile()
    assert site.client(ALICE, PASSWORD, "ls")[0] == 0
    with subprocess.Popen(
        site.smbclient(BOB, PASSWORD),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as live:
        assert live.stdin is not None
        live.stdin.write("mkdir before\n")
        live.stdin.flush()
        site.small.wait("Bob is in", lambda: site.there("before"), seconds=30)
        site.share(ALICE)
        site.reconcile()
        live.communicate("mkdir after\n", timeout=60)
    assert not site.there("after")
    assert site.client(BOB, PASSWORD, "ls")[0] != 0
    assert site.client(ALICE, PASSWORD, "ls")[0] == 0


def test_a_removed_user_has_no_account_and_a_new_password_counts(site: Site) -> None:
    site.users(alice=PASSWORD, bob=PASSWORD)
    site.share(ALICE, BOB)
    site.reconcile()
    assert site.accounts() == ([ALICE, BOB], [ALICE, BOB])
    site.users(alice="another password")
    shares.remove_user(site.store, GROUP, BOB)
    site.reconcile()
    assert site.accounts() == ([ALICE], [ALICE])
    assert site.client(ALICE, PASSWORD, "ls")[0] != 0
    assert site.client(ALICE, "another password", "ls")[0] == 0
    with pytest.raises(NotFound, match="no gateway"):
        shares.remove_user(site.store, GROUP, BOB)


def test_nothing_is_shared_while_the_volume_is_not_there(site: Site, small_ceph: SmallCeph) -> None:
    site.users(alice=PASSWORD)
    site.share(ALICE)
    site.mounted_at("/mnt/nothing")
    site.reconcile()
    assert "not mounted" in shares.list_all(site.store, GROUP)[0].problems[0]
    with small_ceph.mount() as brief:
        site.mounted_at(brief.path)
        site.reconcile()
        assert site.client(ALICE, PASSWORD, "ls")[0] == 0
    # It is unmounted and the gateway has not looked yet: Samba itself lets nobody into the bare directory.
    assert site.client(ALICE, PASSWORD, "put /etc/hostname name")[0] != 0
    assert small_ceph.run(["ls", "-A", brief.path]) == ""


def test_an_account_of_the_host_is_never_touched(site: Site) -> None:
    site.users(daemon=PASSWORD)
    site.share("daemon")
    site.reconcile()
    state = records.state_of(site.store, GROUP, HOST)
    assert state is not None
    assert "account daemon of its own" in " ".join(state.problems)
    assert site.client("daemon", PASSWORD, "ls")[0] != 0
    assert site.small.run(["id", "-gn", "daemon"]).strip() == "daemon"


def test_a_crash_before_the_record_is_made_good(site: Site) -> None:
    site.users(alice=PASSWORD, bob=PASSWORD)
    site.share(ALICE)
    site.reconcile()
    site.small.write(f"{STATE}/smb/groups/{GROUP}.json", "{half")
    site.share(ALICE, BOB)
    site.reconcile()
    assert site.client(BOB, PASSWORD, "ls")[0] == 0


def test_the_end_of_a_share_is_the_end_of_the_server(site: Site) -> None:
    site.users(alice=PASSWORD)
    site.share(ALICE)
    site.reconcile()
    assert site.client(ALICE, PASSWORD, "ls")[0] == 0
    shares.unshare(site.store, GROUP, VOLUME, HOST)
    shares.remove_user(site.store, GROUP, ALICE)
    site.reconcile()
    assert site.client(ALICE, PASSWORD, "ls")[0] != 0
    assert site.accounts() == ([], [])
    mount = site.store.get(keys.mount(GROUP, HOST, VOLUME), MountSpecification)
    assert mount is not None, "somebody wanted it before the share did"


def test_what_cannot_be_is_refused(site: Site) -> None:
    for user in ("Alice", "a", "-x", "x" * 25, "al ice", "al/ice", "../x", "x\n"):
        with pytest.raises(InvalidInput):
            shares.set_password(site.store, GROUP, user, PASSWORD)
        with pytest.raises(InvalidInput):
            shares.share(site.store, GROUP, VOLUME, HOST, writers=[user])
    for password in ("short", "with\nnewline", ""):
        with pytest.raises(InvalidInput):
            shares.set_password(site.store, GROUP, ALICE, password)
    with pytest.raises(NotFound, match="no gateway"):
        shares.share(site.store, GROUP, VOLUME, "other-1", writers=[ALICE])
    with pytest.raises(InvalidInput, match="somebody"):
        shares.share(site.store, GROUP, VOLUME, HOST)
