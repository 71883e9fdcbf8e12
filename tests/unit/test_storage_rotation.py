"""The replacement of cephx keys: its plan against leaders that die and hosts that are away, and what hosts do."""

import os
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cbstorage.ceph import cephx, sealed_keys
from cbstorage.ceph.answers import AddressVector, FileSystems, OsdEntry, OsdMap
from cbstorage.ceph.cephx import Identity
from cbstorage.commands.rotate_keys import outcome
from cbstorage.host import local, systemd
from cbstorage.host.key_files import KeyFiles
from cbstorage.leading.key_keeper import may_restart
from cbstorage.leading.key_plan import Act, Facts, Holder, Kind, step
from cbstorage.model import DaemonKind
from cbstorage.mounting import renewal
from cbstorage.rotation_model import KeyPhase, KeyRotation, KeyState, RotationScope
from cbstorage.wanted.rotation import KeyView
from cladnet import seal
from larva import output
from larva.errors import MalformedData

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def wish(*, now: bool = False, remount: bool = False, at: datetime = NOW) -> KeyRotation:
    return KeyRotation(
        group="demo", scope=RotationScope.ALL, name="all", asked=str(uuid.uuid4()), now=now, remount=remount,
        asked_at=at,
    )  # fmt: skip


class Rotation:
    """One identity: Ceph's two keys, sealed values, hosts, and a leader that may die between any two effects."""

    def __init__(self, kind: Kind, hosts: int, *, patient: bool) -> None:
        self.kind, self.clock, self.patient = kind, 1, patient
        names = [f"h{number}" for number in range(hosts if kind is Kind.ADMIN else 1)]
        self.key, self.pending = "k1", ""
        first = "" if kind is Kind.DAEMON else "k1"
        self.sealed = dict.fromkeys(names, (first, ""))
        self.disk = dict.fromkeys(names, ("k1", ""))
        self.used = dict.fromkeys(names, "k1")
        self.away: set[str] = set()
        self.state: KeyState | None = None
        self.wishes: list[KeyRotation] = []
        self.asked, self.ends, self.hurried = 0, 0, False
        self.ask(now=True)

    def tick(self) -> datetime:
        self.clock += 1
        return NOW + timedelta(seconds=self.clock)

    def made_at(self, key: str) -> datetime:
        return NOW + timedelta(seconds=int(key[1:]))

    def ask(self, *, now: bool) -> None:
        now = now and not self.patient
        self.wishes, self.hurried = [wish(now=now, at=self.tick())], self.hurried or now
        self.asked += 1

    def facts(self) -> Facts:
        return Facts(
            entity="client.data", kind=self.kind, key=self.key, made_at=self.made_at(self.key), pending=self.pending,
            state=self.state, wishes=tuple(self.wishes),
            holders={
                name: Holder(
                    sealed=sealed[0], sealed_next=sealed[1], held=frozenset(self.disk[name]) - {""},
                    used=frozenset({self.used[name]}),
                )
                for name, sealed in self.sealed.items()
            },
        )  # fmt: skip

    def look(self, effects: int) -> bool:
        """Look once, and die after so many effects."""
        facts = self.facts()
        done = step(facts)
        todo = [done.act] if done.act is Act.END else []
        todo += [Act.NONE] if done.state != self.state else []
        todo += [done.act] if done.act not in (Act.END, Act.NONE) else []
        for act in todo[:effects]:
            if act is Act.NONE:
                self.state = done.state
            elif act is Act.END:
                self.ends += 1
            elif act is Act.MAKE:
                assert not self.pending, "a key that may be in use already is never made again"
                self.tick()
                self.pending = f"k{self.clock}"
            elif act is Act.CLEAR:
                self.pending = ""
            elif act is Act.COMMIT:
                assert facts.pending == self.pending != ""
                self.key, self.pending = self.pending, ""
            else:
                self.sealed = dict.fromkeys(self.sealed, (self.key, self.pending))
        return done.again or bool(todo)

    def take_up(self) -> None:
        """Hosts that are there write what is sealed to them."""
        for name in self.sealed.keys() - self.away:
            present, following = self.sealed[name]
            if self.kind is Kind.ADMIN:
                self.disk[name] = (present, following)
            else:
                self.disk[name] = (following or present or self.disk[name][0], "")

    def use(self) -> None:
        """Hosts that are there log in by what they have."""
        for name in self.sealed.keys() - self.away:
            for key in self.disk[name]:
                if key and key in (self.key, self.pending):
                    self.used[name] = key
                    if key == self.pending:
                        self.key, self.pending = key, ""
                    break

    def leave_or_come(self) -> None:
        self.away = set() if self.away else set(list(self.sealed)[:1])

    def nobody_is_locked_out(self) -> None:
        """While nobody asked for haste, each host has a key on its disk that is good."""
        for name, disk in self.disk.items():
            assert self.hurried or set(disk) & {self.key, self.pending} - {""}, f"{name} has {disk}"

    def finish(self) -> None:
        """All hosts come back, and nobody dies any more."""
        self.away = set()
        for _ in range(40):
            moved = self.look(3)
            self.take_up()
            self.use()
            if not moved and not self.facts().is_under_way():
                break
        assert not self.facts().is_under_way()
        assert self.state is not None
        assert (self.state.phase, self.pending) == (KeyPhase.CURRENT, "")
        assert self.state.number <= self.asked
        assert (self.state.number > 0) == (self.key != "k1")
        if self.asked:
            assert self.made_at(self.key) > self.wishes[-1].asked_at
        if not self.hurried:
            assert not self.ends, "nobody's open files end unless somebody asked for it"
        for sealed in self.sealed.values():
            assert sealed in {(self.key, ""), ("", "")}
        for name, disk in self.disk.items():
            assert self.key in disk, name


LOOKS = [f"look {effects}" for effects in range(4)]


@settings(max_examples=4 * settings.default.max_examples)
@given(
    st.sampled_from(Kind), st.integers(1, 3), st.booleans(),
    st.lists(st.sampled_from([*LOOKS, "look 3", "take up", "use", "away", "ask", "ask now"]), max_size=40),
)  # fmt: skip
@example(Kind.ADMIN, 2, True, ["look 3", "look 3", "look 3", "away", "take up", "look 3", "look 3"])
def test_whoever_dies_a_key_is_replaced_and_nobody_is_locked_out(
    kind: Kind, hosts: int, patient: bool, days: list[str]
) -> None:  # fmt: skip
    rotation = Rotation(kind, hosts, patient=patient)
    for day in days:
        if day.startswith("look"):
            rotation.look(int(day[-1]))
        elif day.startswith("ask"):
            rotation.ask(now=day == "ask now")
        else:
            {"take up": rotation.take_up, "use": rotation.use, "away": rotation.leave_or_come}[day]()
        rotation.nobody_is_locked_out()
    rotation.finish()


@pytest.mark.parametrize("kind", [Kind.MOUNT, Kind.DAEMON])
def test_a_key_whose_use_ceph_forgot_is_committed(kind: Kind) -> None:
    rotation = Rotation(kind, 1, patient=True)
    while rotation.state is None or rotation.state.phase is not KeyPhase.HELD:
        rotation.look(3)
        rotation.take_up()
    following = rotation.pending
    for _ in range(5):
        rotation.look(3)
    assert rotation.key == "k1", "it waits for its next mount or start"
    rotation.used["h0"] = following
    for _ in range(5):
        rotation.look(3)
    assert (rotation.key, rotation.pending, rotation.state.phase) == (following, "", KeyPhase.CURRENT)


def test_a_key_that_was_made_after_a_wish_is_not_replaced_for_it() -> None:
    facts = Facts(
        entity="client.new", kind=Kind.MOUNT, key="k", made_at=NOW + timedelta(seconds=1), wishes=(wish(),),
        holders={"h": Holder(sealed="k")},
    )  # fmt: skip
    assert not facts.is_under_way()
    assert replace(facts, made_at=NOW - timedelta(seconds=1)).is_under_way()


def test_whose_keys_a_wish_means() -> None:
    of_host, of_volume = (
        replace(wish(), scope=scope, name=name)
        for scope, name in ((RotationScope.HOST, "aws-1"), (RotationScope.VOLUME, "data"))
    )
    both = frozenset({"aws-1", "gcp-1"})
    assert [one.means(both, None) for one in (wish(), of_host, of_volume)] == [True, True, False]
    assert [one.means(frozenset({"gcp-1"}), "data") for one in (wish(), of_host, of_volume)] == [True, False, True]


def osd_map(*up: int, out: bool = False) -> OsdMap:
    weight = 0.0 if out else 1.0
    return OsdMap(
        osds=tuple(
            OsdEntry(osd=number, uuid="", up=one, weight=1.0 if one else weight, public_addrs=AddressVector())
            for number, one in enumerate(up)
        ),
        pools=(),
    )


def test_daemons_lose_their_old_keys_one_after_the_other() -> None:
    none = FileSystems(standbys=(), filesystems=())
    ending = KeyState(entity="osd.0", hosts=("aws-1",), made_at=NOW, phase=KeyPhase.ENDING)
    assert may_restart("osd.1", [], osd_map(1, 1, 1), none)
    assert not may_restart("osd.1", [ending], osd_map(1, 1, 1), none), "osd.0 is restarted first"
    assert not may_restart("osd.1", [], osd_map(0, 1, 1), none), "a copy is missing already"
    assert may_restart("osd.1", [], osd_map(0, 1, 1, out=True), none)
    assert may_restart("osd.0", [ending], osd_map(0, 1, 1), none), "it does not run: nothing is lost by it"


OWN = """36 28 0:50 / /mnt/data rw,relatime shared:7 - fuse.ceph-fuse ceph-fuse rw
28 1 8:1 / / rw shared:1 - ext4 d rw
"""


@pytest.mark.parametrize(
    ("other", "elsewhere"),
    [
        ("90 80 0:50 / /mnt/data rw master:7 - fuse.ceph-fuse ceph-fuse rw", False),
        ("90 80 0:50 / /mnt/data rw shared:7 - fuse.ceph-fuse ceph-fuse rw", False),
        ("90 80 0:50 / /mnt/data rw - fuse.ceph-fuse ceph-fuse rw", True),
        ("90 80 0:50 / /mnt/data rw shared:9 master:8 - fuse.ceph-fuse ceph-fuse rw", True),
        ("90 80 0:51 / /mnt/data rw - fuse.ceph-fuse ceph-fuse rw", False),
        ("nonsense", False),
    ],
)
def test_a_copy_of_a_mount_in_another_namespace_is_a_use_of_it(other: str, elsewhere: bool) -> None:
    assert renewal.is_elsewhere("/mnt/data", OWN, {"mnt:[2]": other}) is elsewhere


def test_a_second_way_into_a_mount_is_a_use_of_it() -> None:
    assert renewal.is_elsewhere("/mnt/data", OWN + "40 28 0:50 / /srv/x rw shared:8 - fuse.ceph-fuse c rw\n", {})
    assert not renewal.is_elsewhere("/mnt/none", OWN, {"mnt:[2]": OWN})


def test_a_mount_knows_by_which_key_it_was_mounted(tmp_path: Path) -> None:
    one, two = (Identity(entity="client.a", key=cephx.new_key(created_s=number)) for number in (1, 2))
    assert renewal.held(tmp_path) == ""
    (tmp_path / "keyring").write_text(cephx.keyring(one))
    assert renewal.is_stale(tmp_path)
    renewal.note_use(tmp_path)
    assert not renewal.is_stale(tmp_path)
    (tmp_path / "keyring").write_text(cephx.keyring(two))
    assert renewal.is_stale(tmp_path)
    assert renewal.held(tmp_path) == cephx.fingerprint(two.key)
    wishes = [wish(), wish(remount=True)]
    assert [renewal.wanted(some, "aws-1", "data") for some in (wishes, wishes[:1])] == [True, False]


def view(*, phase: KeyPhase = KeyPhase.HELD, volume: str | None = "data", in_use: bool = False) -> KeyView:
    return KeyView(
        entity="client.data", hosts=("aws-1",), volume=volume, made_at=NOW, number=0, phase=phase,
        waiting=phase is not KeyPhase.CURRENT, in_use=in_use,
    )  # fmt: skip


def test_what_is_waited_for() -> None:
    later, anew, now = wish(), wish(remount=True), wish(now=True)
    done, held, used, daemon = (
        view(phase=KeyPhase.CURRENT), view(), view(in_use=True), view(volume=None),
    )  # fmt: skip
    assert [one.is_enough(later) for one in (done, held, used, daemon)] == [True, True, True, True]
    assert [one.is_enough(anew) for one in (done, held, used, daemon)] == [True, False, True, True]
    assert [one.is_enough(now) for one in (done, held, used, daemon)] == [True, False, False, False]
    assert not view(phase=KeyPhase.MADE, in_use=True).is_enough(anew)


def test_what_became_of_keys_is_told() -> None:
    assert outcome((), whose="volume data") == (
        "no host has a key of volume data, as where nothing is mounted: there is nothing to replace"
    )
    replaced = view(phase=KeyPhase.CURRENT)
    assert outcome((replaced,), whose="the cluster") == "1 keys are replaced"
    assert outcome((replaced, view(in_use=True), view(), view(volume=None)), whose="the cluster") == (
        "1 keys are replaced, 1 wait for volumes that are in use, 2 wait for a next mount or start"
    )


def test_a_fingerprint_tells_keys_apart_and_a_key_its_age() -> None:
    one, two = (cephx.new_key(created_s=1_700_000_000) for _ in range(2))
    assert cephx.fingerprint(one) == cephx.fingerprint(one) != cephx.fingerprint(two)
    assert cephx.made_at(one) == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    for bad in ("", "AQ", "!", "AQBAé"):
        with pytest.raises(MalformedData):
            cephx.made_at(bad)
    assert [output.age(seconds) for seconds in (-5, 59, 7200, 86400 * 3)] == ["0 s", "59 s", "2 h", "3 d"]


def test_the_next_key_is_sealed_beside_the_other_and_only_its_host_reads_both() -> None:
    private, public = seal.new_pair()
    first, second = (Identity(entity="osd.1", key=cephx.new_key(created_s=number)) for number in (1, 2))
    other = Identity(entity="client.storage.aws-1", key=cephx.new_key(created_s=1))
    sealed = sealed_keys.with_identity(sealed_keys.seal_keys(public, [other]), first, second, "osd.1")
    assert sealed_keys.open_keys(private, sealed) == {"osd.1": first, other.entity: other}
    assert sealed_keys.open_next(private, sealed) == {"osd.1": second}
    assert sealed_keys.open_newest(private, sealed) == {"osd.1": second, other.entity: other}
    after = sealed_keys.with_identity(sealed, second, None, "osd.1")
    assert sealed_keys.open_newest(private, after) == {"osd.1": second, other.entity: other}
    assert not after.next


@pytest.fixture
def osd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of osd.1, made on this host, and a place for keyrings."""
    monkeypatch.setattr(local.conf, "DATA", tmp_path / "ceph")
    monkeypatch.setattr(local.conf, "DIRECTORY", tmp_path / "etc")
    monkeypatch.setattr(local, "ceph_owner", lambda: (os.getuid(), os.getgid()))
    monkeypatch.setattr(systemd, "age_s", lambda _: 3600.0)
    directory = local.data_directory(DaemonKind.OSD, "1")
    directory.mkdir(parents=True)
    return directory


def identity(created_s: int, entity: str = "osd.1") -> dict[str, Identity]:
    return {entity: Identity(entity=entity, key=cephx.new_key(created_s=created_s))}


def test_a_daemon_gets_its_next_key_and_no_earlier_one(osd: Path) -> None:
    files, made, later, earlier = KeyFiles("aws-1"), identity(100), identity(200), identity(50)
    (osd / "keyring").write_text(cephx.keyring(made["osd.1"]))

    def on_disk() -> str:
        return cephx.key_in((osd / "keyring").read_text())

    files.write_daemons({}, later)
    assert on_disk() == made["osd.1"].key, "it is being made with the key it was registered with"
    (osd / "ready").touch()
    files.write_daemons(earlier, {})
    assert on_disk() == made["osd.1"].key, "what is sealed is an earlier osd.1's"
    files.write_daemons({}, later)
    assert on_disk() == later["osd.1"].key
    assert (osd / "keyring").stat().st_mode & 0o777 == 0o600
    (held,) = files.held()
    assert (held.entity, held.fingerprint, held.used) == ("osd.1", cephx.fingerprint(later["osd.1"].key), False)


def test_a_daemon_is_restarted_once_for_a_key_that_ended_at_once(osd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, key, restarted = KeyFiles("aws-1"), identity(100), list[str]()
    monkeypatch.setattr(systemd, "running", lambda _: True)
    monkeypatch.setattr(systemd, "restart", restarted.append)
    (osd / "keyring").write_text(cephx.keyring(key["osd.1"]))
    (osd / "ready").touch()
    files.restart(key, {}, [wish()])
    files.restart(key, key, [wish(now=True)])
    files.restart(identity(200), {}, [wish(now=True)])
    assert not restarted
    for _ in range(2):
        files.restart(key, {}, [wish(now=True)])
    assert restarted == ["ceph-osd@1.service"]


def test_the_administrators_next_key_lies_beside_until_the_other_is_refused(osd: Path) -> None:
    del osd
    files, present, following = KeyFiles("aws-1"), identity(1, cephx.ADMIN), identity(2, cephx.ADMIN)

    def on_disk() -> str:
        return cephx.key_in(local.keyring_of(cephx.ADMIN).read_text())

    files.write_client(present, following, cephx.ADMIN)
    assert on_disk() == present[cephx.ADMIN].key
    wanted = {cephx.fingerprint(one[cephx.ADMIN].key) for one in (present, following)}
    assert {one.fingerprint for one in files.held()} == wanted
    assert files.exchange(present, following, cephx.ADMIN)
    files.write_client(present, following, cephx.ADMIN)
    assert on_disk() == following[cephx.ADMIN].key, "it is not put back"
    files.write_client(following, {}, cephx.ADMIN)
    assert [one.fingerprint for one in files.held()] == [cephx.fingerprint(following[cephx.ADMIN].key)]
    assert not files.exchange(following, {}, cephx.ADMIN)


def test_a_wish_that_was_fulfilled_means_nobody_again_who_left_and_came_back() -> None:
    world = Rotation(Kind.ADMIN, 3, patient=True)
    world.ask(now=True)
    for _ in range(20):
        world.look(3)
        world.take_up()
        world.use()
    assert world.state is not None
    assert world.state.number == 1
    wishes, world.wishes = world.wishes, []  # its only host that was meant has left
    world.look(3)
    world.wishes = wishes
    for _ in range(5):
        world.look(3)
    assert world.state.number == 1
    assert not world.pending


def test_a_key_from_a_backup_of_etcd_does_not_take_the_place_of_a_newer_one(osd: Path) -> None:
    """Until the newer one is refused: then it is the cluster that was put back."""
    del osd
    files, old, new = KeyFiles("aws-1"), identity(1, cephx.ADMIN), identity(2, cephx.ADMIN)
    for entity, earlier, later in (
        (cephx.ADMIN, old, new),
        (cephx.storage_host("aws-1"), *(identity(made, cephx.storage_host("aws-1")) for made in (1, 2))),
    ):
        files.write_client(later, {}, entity)
        files.write_client(earlier, {}, entity)
        assert cephx.key_in(local.keyring_of(entity).read_text()) == later[entity].key
        assert files.exchange(earlier, {}, entity)
        files.write_client(earlier, {}, entity)
        assert cephx.key_in(local.keyring_of(entity).read_text()) == earlier[entity].key
