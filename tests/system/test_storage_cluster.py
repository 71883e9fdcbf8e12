"""Storage over the CLADNet on the lab's clouds: registration, volumes, isolation, loss of a cloud, and of processes."""

import contextlib
import hashlib
import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import archive
import pytest

from cbstorage.ceph import timing
from images.clouds.lab import topology_toml
from images.clouds.lab.lab import Lab
from images.clouds.lab.topology import Role
from images.demo import up
from images.demo.up import Demo
from images.demo.userdata import cloud_config, join_toml
from larva import process
from larva.errors import LarvaError

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow]

RUN_ID = f"cs{secrets.token_hex(3)}"
CIDR = IPv4Network(up.CIDR)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """Three clouds with a storage host each, storage up, one volume mounted on each storage host."""
    try:
        yield up.bring_up(topology_toml.default(), run_id=RUN_ID)
    finally:
        Lab(RUN_ID).destroy()


@pytest.fixture
def hosts(demo: Demo) -> list[str]:
    return [host.name for host in demo.storage]


def wait_for(what: str, condition: Callable[[], bool], *, seconds: float) -> None:
    """Poll until the condition holds; what it raises meanwhile belongs to the trouble it waits out."""
    deadline = time.monotonic() + seconds
    last: object = "it does not hold"
    while True:
        try:
            if condition():
                return
        except LarvaError as error:
            last = error.message
        assert time.monotonic() < deadline, f"{what}: {last}"
        time.sleep(0.5)


def ceph(demo: Demo, host: str, *words: str) -> Any:
    """Ceph's own answer, on a monitor's host."""
    return json.loads(demo.run(host, ["ceph", "--connect-timeout", "15", *words, "--format", "json"], timeout=40))


def active_mds(demo: Demo) -> list[str]:
    """The metadata servers in charge, as the storage hosts publish them."""
    names: list[str] = demo.ask("storage", "status")["state"]["active_mds"]
    return names


def refused(demo: Demo, *words: str) -> str:
    """What `larva …` says when it must refuse."""
    with pytest.raises(LarvaError) as caught:
        demo.larva(*words, timeout=60)
    return caught.value.message


def write(demo: Demo, host: str, name: str, data: bytes) -> str:
    path = f"{up.MOUNT_POINT}/{name}"
    demo.lab.machine(host).run(["dd", f"of={path}", "conv=fsync", "status=none"], input=data, timeout=60)
    return hashlib.sha256(data).hexdigest()


def digest(demo: Demo, host: str, name: str) -> str:
    return demo.run(host, ["sha256sum", f"{up.MOUNT_POINT}/{name}"], timeout=60).split()[0]


def test_every_osd_registers_with_cladnet_addresses_only(demo: Demo, hosts: list[str]) -> None:
    status = demo.ask("storage", "status")
    assert {osd["host"] for osd in status["state"]["osds"]} == set(hosts)
    for osd in status["state"]["osds"]:
        assert osd["up"]
        assert osd["is_in"]
        assert osd["on_cladnet"]
        assert all(IPv4Address(address) in CIDR for address in osd["addresses"])
    for monitor in ceph(demo, hosts[0], "mon", "dump")["mons"]:
        vector = monitor["public_addrs"]["addrvec"]
        assert [one["type"] for one in vector] == ["v2"]
        assert IPv4Address(vector[0]["addr"].split(":")[0]) in CIDR


def test_copies_are_spread_over_providers(demo: Demo, hosts: list[str]) -> None:
    pools = ceph(demo, hosts[0], "osd", "pool", "ls", "detail")
    data = next(pool for pool in pools if pool["pool_name"] == "cladfs.data")
    assert (data["size"], data["min_size"]) == (3, 2)
    rules = {rule["rule_id"]: rule for rule in ceph(demo, hosts[0], "osd", "crush", "rule", "dump")}
    assert any(step.get("type") == "region" for step in rules[data["crush_rule"]]["steps"])
    roots = [node for node in ceph(demo, hosts[0], "osd", "tree")["nodes"] if node["type"] == "region"]
    assert {node["name"] for node in roots} == {f"csp.{cloud.provider}" for cloud in demo.topology.clouds}


def test_every_daemon_has_the_patience_that_the_paths_ask_for(demo: Demo, hosts: list[str]) -> None:
    osds = demo.ask("storage", "status")["state"]["osds"]
    daemons = [*(f"mon.{host}" for host in hosts), *(f"osd.{osd['id']}" for osd in osds), "mds." + active_mds(demo)[0]]
    names = ("mon_lease", "osd_heartbeat_grace", "mds_beacon_grace")

    def patient(daemon: str) -> bool:
        """What paths ask for may change while we look, and a daemon hears of it a moment later."""
        wanted = timing.settings(demo.ask("storage", "status")["state"]["round_trip_ms"])
        found = {name: float(ceph(demo, hosts[0], "tell", daemon, "config", "get", name)[name]) for name in names}
        return found == {name: float(wanted[name]) for name in names}

    for daemon in daemons:
        wait_for(f"{daemon} has the paths' patience", lambda daemon=daemon: patient(daemon), seconds=60)
    assert ceph(demo, hosts[0], "mon", "dump")["election_strategy"] == 3  # connectivity


def test_a_storage_host_checks_its_ways_to_the_others(demo: Demo, hosts: list[str]) -> None:
    found = json.loads(demo.run(hosts[0], ["larva", "storage", "check", "--json"], timeout=120))
    assert [one for one in found if not one["ok"]] == []
    assert all(any(host in one["about"] for one in found) for host in hosts[1:])
    assert "serves no storage cluster" in refused(demo, "storage", "check")


def test_storage_tells_what_it_holds_and_does(demo: Demo, hosts: list[str]) -> None:
    wait_for("two looks at the OSDs", lambda: demo.ask("storage", "status")["state"]["rates"] is not None, seconds=180)
    read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9103/metrics', timeout=30).read().decode())"
    told = demo.run(hosts[0], ["python3", "-c", read], timeout=60)
    status = demo.ask("storage", "status")
    group = status["specification"]["group"]
    assert 0.97 * (3 << 30) < status["state"]["room_bytes"] <= 3 << 30  # of OSDs of 4 GiB each keeps one free
    assert f'larva_storage_osds_up{{cladnet="{group}"}} {len(hosts)}\n' in told
    assert f'larva_mounted{{cladnet="{group}",volume="{up.VOLUME}"}} 1\n' in told
    assert f'larva_volume_mounts{{cladnet="{group}",volume="{up.VOLUME}"}}' in told
    assert f'larva_storage_written_bytes_per_second{{cladnet="{group}"}}' in told
    assert [one["code"] for one in status["health"]] == [one["code"] for one in status["state"]["checks"]]


def test_a_file_is_the_same_in_every_cloud(demo: Demo, hosts: list[str]) -> None:
    expected = write(demo, hosts[0], "same", b"larva" * 1_000_000)
    assert {host: digest(demo, host, "same") for host in hosts} == dict.fromkeys(hosts, expected)


def test_keys_are_private_on_disk_and_sealed_in_etcd(demo: Demo, hosts: list[str]) -> None:
    key = demo.run(hosts[0], ["sed", "-n", "s/.*key = //p", "/etc/ceph/ceph.client.admin.keyring"]).strip()
    assert len(key) == 40
    mode = demo.run(hosts[0], ["stat", "-c", "%a %U", "/etc/ceph/ceph.client.admin.keyring"]).split()
    assert mode == ["600", "root"]
    assert key not in demo.run(hosts[0], ["journalctl", "--no-pager", "-o", "cat"], timeout=60)
    stored = demo.lab.machine(demo.control.name).run(
        ["grep", "-rlaF", "-e", key, "/var/lib/larva/etcd"], ok_codes=(0, 1)
    )
    assert stored == ""


WRITER = """
import os, sys, time
at = sys.argv[1]
number = 0
with open(at, "ab") as file:
    while not os.path.exists(at + ".enough"):
        number += 1
        file.write(b"%08d" % number)
        file.flush()
        os.fsync(file.fileno())
        time.sleep(0.05)
"""


def keys_of(demo: Demo) -> dict[str, dict[str, Any]]:
    return {one["entity"]: one for one in demo.ask("storage", "keys")}


def test_every_key_is_replaced_and_nobody_notices(demo: Demo, hosts: list[str]) -> None:
    """All at once under a writer; who used its key has a new one, the rest has it for its next start."""
    script = f"nohup python3 -c '{WRITER}' {up.MOUNT_POINT}/writing >/dev/null 2>&1 &"
    demo.run(hosts[0], ["sh", "-c", script])
    wanted = {"client.admin", *(f"osd.{number}" for number in range(len(hosts)))}
    wait_for("every key is listed", lambda: wanted <= keys_of(demo).keys(), seconds=90)
    before = keys_of(demo)
    demo.larva("storage", "rotate-keys", "--all", "--remount", "--wait", "180", timeout=200)
    group = demo.ask("storage", "status")["specification"]["group"]
    volume = next(one for one in demo.ask("volume", "list") if one["name"] == up.VOLUME)
    idle, busy = (f"client.{up.VOLUME}.{volume['id']}.{host}" for host in (hosts[1], hosts[0]))

    def ended(entity: str) -> bool:
        return bool(keys_of(demo)[entity]["number"] > before.get(entity, {"number": 0})["number"])

    for entity in ("client.admin", idle):
        wait_for(f"{entity} has its new key only", lambda entity=entity: ended(entity), seconds=120)
    assert keys_of(demo)[busy]["phase"] == "held", "its volume is in use: it is left alone"
    assert keys_of(demo)["osd.0"]["phase"] == "held"
    demo.run(hosts[0], ["touch", f"{up.MOUNT_POINT}/writing.enough"])
    wait_for("the volume is idle and mounted anew", lambda: ended(busy), seconds=120)
    directory = f"/var/lib/larva/storage/mount/{group}/{up.VOLUME}/keyring"
    assert demo.run(hosts[0], ["stat", "-c", "%a %U", directory]).split() == ["600", "root"]
    text = demo.run(hosts[1], ["cat", f"{up.MOUNT_POINT}/writing"], timeout=60)
    numbers = [int(text[at : at + 8]) for at in range(0, len(text), 8)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 20


def test_the_keys_of_a_host_that_was_taken_over_end_at_once(demo: Demo, hosts: list[str]) -> None:
    """Whatever it runs by old keys is cut off, started by new ones, and all is as before."""
    expected = write(demo, hosts[2], "kept", b"kept")
    found = demo.run(hosts[2], ["sed", "-n", "s/.*key = //p", "/etc/ceph/ceph.client.admin.keyring"])
    words = ("--host", hosts[2], "--now", "--yes", "--wait", "240")
    demo.larva("storage", "rotate-keys", *words, timeout=260)
    keyring = "umask 077; printf '[client.admin]\\n\\tkey = %s\\n' \"$0\" >/run/old"
    login = f"{keyring}; ceph --connect-timeout 15 --keyring /run/old -s"
    with pytest.raises(LarvaError, match="denied"):
        demo.run(hosts[2], ["sh", "-c", login, found.strip()], timeout=60)
    wait_for("its volume is mounted again", lambda: digest(demo, hosts[2], "kept") == expected, seconds=120)
    wait_for("its OSD is up", lambda: len(up.osds_up(demo, up.CLADNET)) == len(hosts), seconds=120)
    wait_for(
        "a metadata server stands by",
        lambda: len(demo.ask("storage", "status")["state"]["standby_mds"]) == 2,
        seconds=120,
    )


def test_a_volume_s_key_opens_no_other_volume(demo: Demo, hosts: list[str]) -> None:
    demo.larva("volume", "create", "other", "--size", "64M", "--wait", "60", timeout=80)
    demo.larva("volume", "mount", "other", "--on", hosts[0], "--at", "/mnt/other", "--wait", "60", timeout=80)
    demo.run(hosts[0], ["sh", "-c", "echo secret >/mnt/other/note"])
    first, other = (
        next(one for one in demo.ask("volume", "list") if one["name"] == name) for name in (up.VOLUME, "other")
    )
    directory = f"/var/lib/larva/storage/mount/{first['group']}/{up.VOLUME}"
    entity = f"client.{up.VOLUME}.{first['id']}.{hosts[0]}"
    name = f"volume.{other['group']}.other.{other['id']}"
    for namespace, allowed in (
        (name, False),
        (name.replace(f"other.{other['id']}", f"{up.VOLUME}.{first['id']}"), True),
    ):
        command = ["rados", "--conf", f"{directory}/ceph.conf", "--keyring", f"{directory}/keyring", "--name", entity]
        with contextlib.nullcontext() if allowed else pytest.raises(LarvaError, match="not permitted"):
            demo.run(hosts[0], [*command, "--pool", "cladfs.data", "--namespace", namespace, "ls"], timeout=30)
    demo.larva("volume", "delete", "other", "--yes", "--force", "--wait", "60", timeout=80)
    assert "other" not in {one["name"] for one in demo.ask("volume", "list")}


def test_a_promised_volume_lies_in_its_pool_with_its_primaries_at_home(demo: Demo, hosts: list[str]) -> None:
    home = demo.topology.clouds[1].provider
    listed = demo.ask("volume", "promises", "--home", home)
    possible = {one["survive"]: not one["missing"] for one in listed["options"]}
    assert possible["csp"]
    promise = ("--survive", "csp", "--home", home, "--yes", "--wait", "120")
    demo.larva("volume", "create", "promised", "--size", "64M", *promise, timeout=150)
    demo.larva("volume", "mount", "promised", "--on", hosts[0], "--at", "/mnt/promised", "--wait", "60", timeout=80)
    demo.run(hosts[0], ["sh", "-c", "echo kept >/mnt/promised/note && sync /mnt/promised/note"], timeout=60)
    pool = f"cladfs.data.csp.home.{home}"
    found = ceph(demo, hosts[0], "osd", "map", pool, "anything")
    assert len(found["up"]) == 3
    at = [ceph(demo, hosts[0], "osd", "find", str(osd))["crush_location"]["region"] for osd in found["up"]]
    assert at[0] == f"csp.{home}"
    assert sorted(at) == sorted(f"csp.{cloud.provider}" for cloud in demo.topology.clouds)
    assert demo.run(hosts[0], ["rados", "--pool", pool, "--all", "ls"], timeout=60).strip()
    demo.larva("volume", "delete", "promised", "--yes", "--force", "--wait", "60", timeout=80)


def test_a_quota_holds(demo: Demo, hosts: list[str]) -> None:
    demo.larva("volume", "create", "small", "--size", "16M", "--wait", "60", timeout=80)
    demo.larva("volume", "mount", "small", "--on", hosts[0], "--at", "/mnt/small", "--wait", "60", timeout=80)
    with pytest.raises(LarvaError, match="quota"):
        demo.run(hosts[0], ["dd", "if=/dev/zero", "of=/mnt/small/f", "bs=1M", "count=64", "oflag=sync"], timeout=100)
    demo.larva("volume", "delete", "small", "--yes", "--force", "--wait", "60", timeout=80)


def test_a_volume_s_past_comes_back(demo: Demo, hosts: list[str]) -> None:
    """Snapshot, clone, restoration and trash, from what a user types to what a host sees."""
    wait = ("--wait", "150")
    demo.larva("volume", "create", "past", "--size", "16M", *wait, timeout=180)
    mount = ("--on", hosts[0], "--at", "/mnt/past", *wait)
    demo.larva("volume", "mount", "past", *mount, timeout=180)
    demo.run(hosts[0], ["sh", "-c", "echo before >/mnt/past/note && sync /mnt/past/note"])
    demo.larva("volume", "snapshot", "create", "past", "one", *wait, timeout=180)
    demo.run(hosts[0], ["sh", "-c", "echo after >/mnt/past/note && sync /mnt/past/note"])
    assert demo.run(hosts[0], ["cat", "/mnt/past/.snap/one/note"]) == "before\n"
    demo.larva("volume", "clone", "past@one", "twin", *wait, timeout=180)
    demo.larva("volume", "resize", "twin", "--size", "32M", *wait, timeout=180)
    demo.larva("volume", "mount", "twin", "--on", hosts[1], "--at", "/mnt/twin", *wait, timeout=180)
    assert demo.run(hosts[1], ["cat", "/mnt/twin/note"]) == "before\n"
    demo.larva("volume", "unmount", "past", "--all", *wait, timeout=180)
    demo.larva("volume", "restore", "past", "--snapshot", "one", "--yes", *wait, timeout=180)
    demo.larva("volume", "delete", "past", "--yes", *wait, timeout=180)
    demo.larva("volume", "undelete", "past", "--as", "again", *wait, timeout=180)
    demo.larva("volume", "mount", "again", *mount, timeout=180)
    assert demo.run(hosts[0], ["cat", "/mnt/past/note"]) == "before\n"
    for name in ("again", "twin"):
        demo.larva("volume", "delete", name, "--yes", "--force", "--keep", "0s", *wait, timeout=330)


def test_what_a_host_has_of_a_mirror_is_written_to_once_it_is_promoted(demo: Demo, hosts: list[str]) -> None:
    """Its mount is only read until then, and is for writing afterwards without another word; the source is apart."""
    writer, reader, other = hosts
    wait = ("--wait", "150")
    demo.larva("volume", "create", "followed", "--size", "16M", *wait, timeout=180)
    demo.larva("volume", "mount", "followed", "--on", writer, "--at", "/mnt/followed", *wait, timeout=180)
    demo.run(writer, ["sh", "-c", "echo first >/mnt/followed/note && sync /mnt/followed/note"], timeout=60)
    demo.larva("volume", "mirror", "followed", "--survive", "csp", "--every", "1h", "--wait", "240", timeout=270)
    demo.larva("volume", "mount", "followed-mirror", "--on", reader, "--at", "/mnt/mirror", *wait, timeout=180)
    assert demo.run(reader, ["cat", "/mnt/mirror/note"], timeout=60) == "first\n"
    with pytest.raises(LarvaError, match="Read-only file system"):
        demo.run(reader, ["touch", "/mnt/mirror/x"], timeout=60)
    assert "would go on apart" in refused(demo, "volume", "promote", "followed-mirror", "--yes")
    demo.larva("volume", "promote", "followed-mirror", "--force", "--yes", *wait, timeout=180)

    def written() -> bool:
        demo.run(reader, ["sh", "-c", "test -e /mnt/mirror/note && touch /mnt/mirror/x"], timeout=60)
        return is_mounted(demo, reader, "/mnt/mirror")

    wait_for("the mount is for writing", written, seconds=120)
    demo.run(reader, ["sh", "-c", "echo second >/mnt/mirror/note && sync /mnt/mirror/note"], timeout=60)
    demo.larva("volume", "mount", "followed-mirror", "--on", other, "--at", "/mnt/mirror", *wait, timeout=180)
    assert demo.run(other, ["cat", "/mnt/mirror/note"], timeout=60) == "second\n"
    assert demo.run(writer, ["cat", "/mnt/followed/note"], timeout=60) == "first\n"
    for name in ("followed", "followed-mirror"):
        demo.larva("volume", "delete", name, "--yes", "--force", "--keep", "0s", *wait, timeout=330)


def test_a_volume_for_some_hosts_and_its_clone_are_kept_from_the_others(demo: Demo, hosts: list[str]) -> None:
    """By CephFS, where the key of another volume stands at the door, and by raw RADOS."""
    owner, guest, other = hosts
    wait = ("--wait", "150")
    demo.larva("volume", "create", "mine", "--size", "64M", "--for", owner, *wait, timeout=180)
    assert f"not shared with {other}" in refused(demo, "volume", "mount", "mine", "--on", other, "--at", "/mnt/mine")
    demo.larva("volume", "mount", "mine", "--on", owner, "--at", "/mnt/mine", *wait, timeout=180)
    demo.run(owner, ["sh", "-c", "echo secret >/mnt/mine/note && sync /mnt/mine/note"], timeout=60)
    demo.larva("volume", "share", "mine", "--with", guest, "--read-only", *wait, timeout=180)
    demo.larva("volume", "mount", "mine", "--on", guest, "--at", "/mnt/mine", *wait, timeout=180)
    assert demo.run(guest, ["cat", "/mnt/mine/note"], timeout=60) == "secret\n"
    with pytest.raises(LarvaError, match="Read-only file system"):
        demo.run(guest, ["touch", "/mnt/mine/x"], timeout=60)
    demo.larva("volume", "clone", "mine", "twin", *wait, timeout=180)
    assert demo.ask("volume", "shares", "twin") == demo.ask("volume", "shares", "mine")
    demo.larva("volume", "mount", "twin", "--on", owner, "--at", "/mnt/twin", *wait, timeout=180)
    assert demo.run(owner, ["cat", "/mnt/twin/note"], timeout=60) == "secret\n"
    assert f"not shared with {other}" in refused(demo, "volume", "mount", "twin", "--on", other, "--at", "/mnt/twin")
    for name in ("mine", "twin"):
        assert_kept_from(demo, name, other)
    demo.larva("volume", "unshare", "mine", "--with", guest, *wait, timeout=180)
    wait_for("the guest has it no more", lambda: not is_mounted(demo, guest, "/mnt/mine"), seconds=120)
    assert [share["host"] for share in demo.ask("volume", "shares", "mine")["hosts"]] == [owner]
    assert_kept_from(demo, "mine", guest)
    for name in ("mine", "twin"):
        demo.larva("volume", "delete", name, "--yes", "--force", "--keep", "0s", *wait, timeout=330)


def is_mounted(demo: Demo, host: str, path: str) -> bool:
    return path in {line.split()[4] for line in demo.run(host, ["cat", "/proc/self/mountinfo"]).splitlines()}


def assert_kept_from(demo: Demo, name: str, host: str) -> None:
    """With the best key that a host has, that of the volume it shares with all, it gets at nothing of another one.

    The same words with that volume's own directory and namespace do, so it is the key that refuses.
    """
    found = {one["name"]: one for one in demo.ask("volume", "list")}
    own, foreign = found[up.VOLUME], found[name]
    directory = f"/var/lib/larva/storage/mount/{own['group']}/{up.VOLUME}"
    who = ["--conf", f"{directory}/ceph.conf", "--keyring", f"{directory}/keyring"]
    entity = f"client.{up.VOLUME}.{own['id']}.{host}"
    for volume, allowed in ((own, True), (foreign, False)):
        place = f"{volume['name']}.{volume['id']}"
        namespace, path = f"volume.{volume['group']}.{place}", f"/volumes/{volume['group']}/{place}"
        rados = ["rados", *who, "--name", entity, "--pool", "cladfs.data", "--namespace", namespace, "ls"]
        fuse = ["ceph-fuse", *who, "--name", entity, "--client_fs", "cladfs", "-r", path, "/mnt/tried"]
        script = 'mkdir -p /mnt/tried && "$@" && ls /mnt/tried && umount /mnt/tried'
        for words in (rados, ["sh", "-c", script, "sh", *fuse]):
            with contextlib.nullcontext() if allowed else pytest.raises(LarvaError, match=r"not permitted|rejected"):
                demo.run(host, words, timeout=60)


def test_volumes_need_no_manager(demo: Demo, hosts: list[str]) -> None:
    for host in hosts:
        demo.run(host, ["systemctl", "stop", "ceph-mgr@*"])
    demo.larva("volume", "create", "without", "--size", "16M", "--wait", "60", timeout=80)
    demo.larva("volume", "delete", "without", "--yes", "--wait", "60", timeout=80)


def test_a_client_that_crashed_is_mounted_again(demo: Demo, hosts: list[str]) -> None:
    expected = write(demo, hosts[0], "kept", b"kept")
    group = demo.ask("storage", "status")["specification"]["group"]
    demo.run(hosts[1], ["systemctl", "kill", "--signal=KILL", f"larva-mount-{group}_{up.VOLUME}"])
    wait_for("the mount is back", lambda: digest(demo, hosts[1], "kept") == expected, seconds=60)


def test_a_client_that_was_shut_out_is_mounted_again(demo: Demo, hosts: list[str]) -> None:
    expected = write(demo, hosts[0], "kept", b"kept")
    active = active_mds(demo)[0]
    sessions = ceph(demo, hosts[0], "tell", f"mds.{active}", "client", "ls")
    victim = next(one for one in sessions if one["client_metadata"].get("hostname") == hosts[1])
    demo.run(hosts[0], ["ceph", "tell", f"mds.{active}", "client", "evict", f"id={victim['id']}"], timeout=40)
    wait_for("the mount is back", lambda: digest(demo, hosts[1], "kept") == expected, seconds=90)
    write(demo, hosts[1], "after", b"after")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("storage", "init", "--group", up.CLADNET), "already"),
        (("storage", "init", "--group", "nowhere"), "no CLADNet"),
        (("volume", "create", up.VOLUME, "--size", "1G"), "already"),
        (("volume", "create", "x", "--size", "much"), "not a size"),
        (("volume", "create", "a/b", "--size", "1G"), "not usable"),
        (("volume", "mount", up.VOLUME, "--on", "nobody", "--at", "/mnt/x"), "no host nobody"),
        (("volume", "create", "x", "--size", "99999P"), "too large"),
        (("volume", "mount", up.VOLUME, "--all", "--at", "relative"), "not absolute"),
        (("volume", "mount", up.VOLUME, "--all", "--at", "/root/.ssh"), "not plain"),
        (("volume", "mount", up.VOLUME, "--all", "--at", "/etc/x"), "belongs to the system"),
        (("volume", "mount", "none", "--all", "--at", "/mnt/x"), "no volume"),
        (("volume", "delete", up.VOLUME, "--yes"), "is mounted on"),
    ],
)
def test_bad_input_is_refused(demo: Demo, words: tuple[str, ...], said: str) -> None:
    assert said in refused(demo, *words)


def test_an_osd_that_no_other_stands_in_for_is_not_drained(demo: Demo) -> None:
    assert "room for 2" in refused(demo, "storage", "osd", "drain", "osd.0")
    assert "is up, so it is not lost" in refused(demo, "storage", "osd", "remove", "0", "--lost", "--yes")
    assert "not being drained" in refused(demo, "storage", "osd", "undrain", "0")
    assert "no osd.77" in refused(demo, "storage", "osd", "drain", "77")


def test_an_osd_comes_and_goes_while_the_cluster_runs(demo: Demo, hosts: list[str]) -> None:
    """A device that holds data is refused unless it is named twice; a replaced or removed OSD leaves nothing behind."""
    host, device = hosts[0], "/var/lib/more/osd.img"
    add = ("storage", "osd", "add", host, device)
    demo.run(host, ["sh", "-c", f"mkdir -p /var/lib/more && echo precious >{device}"])
    assert "holds foreign data" in refused(demo, *add)
    assert demo.run(host, ["cat", device]).strip() == "precious"
    assert "name the same device twice" in refused(demo, *add, "--destroy-data", "/var/lib/other.img")
    assert "no storage host is called" in refused(demo, "storage", "osd", "add", "nobody", device)
    assert "belongs to the system" in refused(demo, "storage", "osd", "add", host, "/etc/passwd")
    demo.run(host, ["truncate", "--size=2G", device])
    added = demo.ask(*add, "--destroy-data", device, "--wait", "180", timeout=220)["osd"]
    assert added["host"] in ("", host)
    assert f"carries osd.{added['id']}" in refused(demo, *add)
    expected = write(demo, host, "moved", b"moved" * 100_000)
    other = "/var/lib/more/other.img"
    by_other = ("storage", "osd", "replace", str(added["id"]), other, "--size", "2G", "--yes")
    assert "name the same device twice" in refused(demo, *by_other, "--destroy-data", device)
    demo.larva(*by_other, "--wait", "240", timeout=280)
    now = next(one for one in demo.ask("storage", "osd", "list") if one["id"] == added["id"])
    assert (now["host"], now["device"], now["up"], now["encrypted"], now["wish"]) == (host, other, True, False, None)
    assert now["uuid"] != added["uuid"]
    assert demo.run(host, ["head", "-c", "4096", device]).strip("\0") == ""
    demo.larva("storage", "osd", "remove", str(added["id"]), "--yes", "--wait", "240", timeout=280)
    wait_for(
        "its host deleted its data",
        lambda: {one["id"] for one in demo.ask("storage", "osd", "list")} == set(range(len(hosts))),
        seconds=120,
    )
    assert demo.run(host, ["head", "-c", "4096", other]).strip("\0") == ""
    assert demo.run(host, ["ls", "/var/lib/ceph/osd"]).split() == [f"ceph-{hosts_osd(demo, host)}"]
    assert {each: digest(demo, each, "moved") for each in hosts} == dict.fromkeys(hosts, expected)


def hosts_osd(demo: Demo, host: str) -> int:
    return next(int(one["id"]) for one in demo.ask("storage", "osd", "list") if one["host"] == host)


def test_a_path_that_is_not_empty_is_refused_by_its_host(demo: Demo, hosts: list[str]) -> None:
    demo.larva("volume", "create", "late", "--size", "16M", "--wait", "60", timeout=80)
    demo.run(hosts[0], ["sh", "-c", "mkdir -p /mnt/full && touch /mnt/full/there"])
    said = refused(demo, "volume", "mount", "late", "--on", hosts[0], "--at", "/mnt/full", "--wait", "8")
    assert f"{hosts[0]}: /mnt/full is not empty" in said
    assert demo.run(hosts[0], ["ls", "/mnt/full"]).split() == ["there"]
    demo.larva("volume", "delete", "late", "--yes", "--force", "--wait", "60", timeout=80)


def test_what_the_host_itself_has_mounted_stays(demo: Demo, hosts: list[str]) -> None:
    demo.larva("volume", "create", "late", "--size", "16M", "--wait", "60", timeout=80)
    demo.run(hosts[0], ["sh", "-c", "mkdir -p /mnt/disk && mount -t tmpfs own /mnt/disk && touch /mnt/disk/there"])
    said = refused(demo, "volume", "mount", "late", "--on", hosts[0], "--at", "/mnt/disk", "--wait", "8")
    assert "something else (tmpfs) is mounted at /mnt/disk" in said
    demo.larva("volume", "delete", "late", "--yes", "--force", "--wait", "60", timeout=80)
    assert demo.run(hosts[0], ["ls", "/mnt/disk"]).split() == ["there"]
    demo.run(hosts[0], ["umount", "/mnt/disk"])


def test_a_volume_for_every_host_to_read_only(demo: Demo, hosts: list[str]) -> None:
    demo.larva("volume", "create", "late", "--size", "16M", "--wait", "60", timeout=80)
    demo.larva("volume", "mount", "late", "--all", "--at", "/mnt/late", "--read-only", "--wait", "90", timeout=110)
    with pytest.raises(LarvaError, match="Read-only file system"):
        demo.run(hosts[0], ["touch", "/mnt/late/x"])
    assert "mounted on every host" in refused(demo, "volume", "unmount", "late", "--on", hosts[0])
    demo.larva("volume", "unmount", "late", "--all", "--wait", "60", timeout=80)
    demo.larva("volume", "mount", "late", "--on", hosts[0], "--at", "/mnt/late", "--wait", "90", timeout=110)
    demo.run(hosts[0], ["touch", "/mnt/late/x"])
    demo.larva("volume", "delete", "late", "--yes", "--force", "--wait", "60", timeout=80)


def test_a_machine_outside_has_a_volume_until_it_is_disconnected(demo: Demo, hosts: list[str]) -> None:
    """A storage host plays it: all that it uses is what was printed."""
    expected = write(demo, hosts[0], "outside", b"outside")
    words = ("volume", "connection", up.VOLUME, "--for", "laptop", "--at", "/mnt/laptop")
    shown = demo.ask(*words)
    assert "has a key for volume" in refused(demo, *words)
    assert [one["machine"] for one in demo.ask("volume", "connections")] == ["laptop"]
    demo.run(hosts[1], ["sh", "-euc", shown["fuse_commands"]], timeout=80)
    seen = demo.run(hosts[1], ["sha256sum", "/mnt/laptop/outside"], timeout=60)
    assert seen.split()[0] == expected
    demo.larva("volume", "disconnect", up.VOLUME, "laptop", "--wait", "90", timeout=110)
    with pytest.raises(LarvaError):
        demo.run(hosts[1], ["timeout", "60", "cat", "/mnt/laptop/outside"], timeout=80)
    demo.run(hosts[1], ["umount", "--lazy", "/mnt/laptop"])
    assert demo.ask(*words)["key"] != shown["key"]
    demo.larva("volume", "disconnect", up.VOLUME, "laptop", "--wait", "90", timeout=110)


def test_a_volume_is_removed_whatever_was_put_in_it(demo: Demo, hosts: list[str]) -> None:
    deep = "import os\nfor _ in range(200):\n os.mkdir('d'); open('f', 'w').close(); os.chdir('d')"
    demo.larva("volume", "create", "late", "--size", "64M", "--wait", "60", timeout=80)
    demo.larva("volume", "mount", "late", "--on", hosts[0], "--at", "/mnt/late", "--wait", "60", timeout=80)
    demo.run(hosts[0], ["sh", "-c", 'cd /mnt/late && python3 -c "$0"', deep], timeout=120)
    demo.larva("volume", "delete", "late", "--yes", "--force", "--wait", "120", timeout=140)


def test_io_goes_on_while_a_cloud_is_cut_off_and_it_comes_back_clean(demo: Demo, hosts: list[str]) -> None:
    """The cloud of the active metadata server is the one that is lost, and stays cut until the write is through."""
    active = active_mds(demo)[0].removeprefix("mds-")
    away = {host.name: host for host in demo.storage if host.cloud != demo.control.cloud}
    lost = away.get(active) or next(iter(away.values()))
    left = [host for host in hosts if host != lost.name]
    expected = hashlib.sha256(b"meanwhile").hexdigest()
    demo.lab.cut(lost.cloud)
    try:
        # Not healed before it is written: that it was written proves that the others went on alone.
        wait_for(
            "a write without the cloud",
            lambda: write(demo, left[0], "meanwhile", b"meanwhile") == expected,
            seconds=180,
        )
        assert digest(demo, left[1], "meanwhile") == expected
        wait_for("another metadata server", lambda: f"mds-{lost.name}" not in active_mds(demo) != [], seconds=180)
    finally:
        demo.lab.heal(lost.cloud)

    def whole() -> bool:
        now = ceph(demo, left[0], "quorum_status")["quorum_names"]
        return len(up.osds_up(demo, up.CLADNET)) == len(hosts) == len(now)

    wait_for("every OSD and monitor is back", whole, seconds=120)
    wait_for("the lost cloud reads it", lambda: digest(demo, lost.name, "meanwhile") == expected, seconds=120)


def test_a_host_that_lost_power_comes_back_by_itself(demo: Demo, hosts: list[str]) -> None:
    expected = write(demo, hosts[0], "kept", b"kept")
    machine = demo.lab.machine(hosts[1])
    machine.power_off()
    machine.power_on()
    machine.wait_running()
    wait_for("its volume is mounted again", lambda: digest(demo, hosts[1], "kept") == expected, seconds=180)
    wait_for("its OSD is up again", lambda: len(up.osds_up(demo, up.CLADNET)) == len(hosts), seconds=120)


def test_a_storage_host_leaves_and_comes_back_with_its_data(demo: Demo, hosts: list[str]) -> None:
    """Its key is none any more, its monitor is out of the map; nothing of its data is made anew when it is back."""
    host, stays = hosts[-1], hosts[0]
    entity, uuid = f"osd.{hosts_osd(demo, host)}", demo.ask("storage", "osd", "list")[hosts_osd(demo, host)]["uuid"]
    demo.larva("net", "leave", up.CLADNET, host)
    units = ["sh", "-c", "systemctl list-units --no-legend --plain --state=active 'ceph-*@*' | wc -l"]
    wait_for("its daemons stop", lambda: demo.run(host, units).strip() == "0", seconds=90)
    wait_for(
        "its monitor is out of the map",
        lambda: host not in {one["name"] for one in ceph(demo, stays, "mon", "dump")["mons"]},
        seconds=120,
    )
    assert entity in {one["entity"] for one in ceph(demo, stays, "auth", "ls")["auth_dump"]}, "its data comes back"
    expected = write(demo, stays, "meanwhile", b"without it")
    demo.larva("net", "join", up.CLADNET, host)
    wait_for("its OSD is up and in", lambda: len(up.osds_up(demo, up.CLADNET)) == len(hosts), seconds=240)
    wait_for("its monitor is back", lambda: host in ceph(demo, stays, "quorum_status")["quorum_names"], seconds=240)
    wait_for("its volume is back", lambda: digest(demo, host, "meanwhile") == expected, seconds=120)
    assert demo.ask("storage", "osd", "list")[hosts_osd(demo, host)]["uuid"] == uuid


def test_a_host_that_leaves_the_cladnet_keeps_no_volume(demo: Demo) -> None:
    host = demo.control.name
    mounted = ["sh", "-c", f"grep -q ' {up.MOUNT_POINT} ' /proc/self/mountinfo && echo yes || echo no"]
    assert demo.run(host, mounted).strip() == "yes"
    demo.larva("net", "leave", up.CLADNET, host)
    wait_for("its volume is taken away", lambda: demo.run(host, mounted).strip() == "no", seconds=60)
    demo.larva("net", "join", up.CLADNET, host)
    wait_for("its volume is back", lambda: demo.run(host, mounted).strip() == "yes", seconds=120)


def test_a_gateway_serves_a_volume_as_a_unit_of_its_machine(demo: Demo, hosts: list[str]) -> None:
    """From another cloud, over the CLADNet, through the appliance's firewall, by somebody else's client."""
    near = demo.topology.host(hosts[0])
    new = replace(
        near, name="files-1", private=IPv4Address("10.0.0.77"), public=IPv4Address("203.0.113.60"), disks=(),
        roles=(Role.MEMBER,),
    )  # fmt: skip
    demo.lab.add_host(new)
    material = demo.ask("enrol", "token", "create", "--group", up.CLADNET, "--role", "gateway", "--role", "member")
    text = join_toml(roles=["gateway", "member"], cloud=up.cloud_facts(demo.topology, new), join=material)
    expected = write(demo, hosts[1], "same", b"for every client")
    demo.lab.launch(new.name, cloud_config(text))
    wait_for("it has the volume", lambda: digest(demo, new.name, "same") == expected, seconds=180)
    password = demo.run(demo.control.name, ["larva", "smb", "password", "bob", "--generate"]).strip()
    demo.larva("smb", "share", up.VOLUME, "--on", new.name, "--user", "bob", "--wait", "120", timeout=140)
    assert demo.run(new.name, ["systemctl", "is-active", "larva-smb.service"]).strip() == "active"
    address = next(one["address"] for one in demo.ask("net", "hosts", up.CLADNET) if one["host"] == new.name)
    leader = demo.lab.machine(hosts[1]).leader()
    client = [
        "nsenter", f"--target={leader}", "--net", "--", "smbclient", f"//{address}/{up.VOLUME}",
        "--user", f"bob%{password}", "--command",
    ]  # fmt: skip
    wait_for("it answers", lambda: "same" in process.run([*client, "ls"], secret=True), seconds=60)
    process.run([*client, "mkdir from-windows"], secret=True)
    assert "from-windows" in demo.run(hosts[1], ["ls", str(up.MOUNT_POINT)])
    demo.run(new.name, ["systemctl", "kill", "--signal=KILL", "larva-smb.service"])
    wait_for("systemd has started it again", lambda: "same" in process.run([*client, "ls"], secret=True), seconds=60)
    demo.larva("smb", "unshare", up.VOLUME, "--on", new.name)
    stopped = ["sh", "-c", "systemctl is-active larva-smb.service || true"]
    wait_for("it is stopped", lambda: demo.run(new.name, stopped).strip() == "inactive", seconds=60)
    demo.larva("enrol", "remove", new.name)
    demo.lab.machine(new.name).stop()


def test_storage_hosts_update_one_after_the_other(demo: Demo, hosts: list[str], tmp_path: Path) -> None:
    """A library of monitors and OSDs is replaced on two hosts that start at once; never is more than one OSD down."""
    tree = demo.lab.machine(hosts[0]).place.source
    newer = archive.make(tmp_path / "security", tree, "libsnappy1v5", label="Debian-Security")
    archive.make(tmp_path / "main", tree, "libaio1t64", label="Debian")
    sources = "".join(f"deb [trusted=yes] file:/srv/archive/{name} ./\n" for name in ("security", "main"))
    packed = subprocess.run(["tar", "--create", "--directory", tmp_path, "."], check=True, capture_output=True).stdout
    two = hosts[:2]
    wait_for("it is whole", lambda: demo.ask("storage", "status")["state"]["clean"], seconds=120)
    first = ceph(demo, hosts[2], "osd", "dump")["epoch"]
    for host in two:
        machine = demo.lab.machine(host)
        machine.run(["mkdir", "--parents", "/srv/archive"])
        machine.run(["tar", "--extract", "--directory", "/srv/archive"], input=packed)
        machine.run(["tee", "/etc/apt/sources.list"], input=sources.encode())
        due = json.loads(demo.run(host, ["larva", "update", "show", "--json"], timeout=120))
        assert [one["name"] for one in due["upgrades"]] == ["libsnappy1v5"]
        assert due["restarts"]["storage"] == []
    for host in two:
        demo.run(host, ["systemctl", "start", "--no-block", "larva-update.service"])
    state = ["systemctl", "show", "--property=ActiveState,Result", "larva-update.service"]
    for host in two:
        wait_for("it is updated", lambda h=host: "ActiveState=activating" not in demo.run(h, state), seconds=600)
        said = demo.run(host, ["journalctl", "--unit", "larva-update", "--output", "cat", "--no-pager"])
        assert "Result=success" in demo.run(host, state), said
        assert "restarting ceph-osd@" in said
        assert said.index("restarting ceph-mon@") < said.index("restarting ceph-osd@")
        assert newer in demo.run(host, ["dpkg-query", "--show", "libsnappy1v5"])
        assert json.loads(demo.run(host, ["larva", "update", "show", "--json"], timeout=120))["upgrades"] == []
        assert "larva1" not in demo.run(host, ["dpkg-query", "--show", "libaio1t64"])
    last = ceph(demo, hosts[2], "osd", "dump")["epoch"]
    down = [
        [osd["osd"] for osd in ceph(demo, hosts[2], "osd", "dump", str(epoch))["osds"] if not osd["up"]]
        for epoch in range(first, last + 1)
    ]
    assert {tuple(each) for each in down if each} == {(hosts_osd(demo, host),) for host in two}


def test_monitors_move_while_the_cluster_runs(demo: Demo, hosts: list[str]) -> None:
    """To one host and back to all: the leading one and those that led before go, and leave no key behind."""
    stays = hosts[1]
    demo.larva("storage", "place", "--mon", stays, "--wait", "240", timeout=280)
    assert ceph(demo, stays, "quorum_status")["quorum_names"] == [stays]
    left = "ls -d /var/lib/ceph/mon/ceph-* /etc/ceph/ceph.client.admin.keyring 2>/dev/null | wc -l"
    for host in hosts:
        if host != stays:
            wait_for("nothing of it is left", lambda h=host: demo.run(h, ["sh", "-c", left]).strip() == "0", seconds=90)
    expected = write(demo, hosts[0], "moving", b"one monitor")
    assert digest(demo, hosts[2], "moving") == expected
    assert "odd number" in refused(demo, "storage", "place", "--mon", hosts[0], "--mon", hosts[1])
    back = [word for host in hosts for word in ("--mon", host)]
    demo.larva("storage", "place", *back, "--wait", "240", timeout=280)
    assert set(ceph(demo, stays, "quorum_status")["quorum_names"]) == set(hosts)
    assert digest(demo, hosts[0], "moving") == expected
