"""The peer of the storage bench: the same Ceph on the same hosts without the overlay, on addresses that clouds route.

Each storage host's own `ceph.conf` with other addresses and directories; an OSD on the same kind of disk, on the same
host, under the same number; pools made by the appliance's own code; the metadata server where the active one is. One
monitor, since nothing fails here and no write waits for monitors.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from images.clouds.lab import interconnect
from images.clouds.lab.topology import DISK_DIRECTORY
from images.demo.story import wait_until
from images.demo.up import VOLUME, Demo
from larva.errors import LarvaError

MOUNT_POINT = Path("/mnt/direct")
DATA, RUN = Path("/var/lib/direct"), Path("/run/direct")
CONF, ADMIN, CLIENT_CONF = DATA / "ceph.conf", DATA / "admin.keyring", DATA / "client.conf"
PYTHON = "/usr/lib/larva/bin/python3"
PATIENCE_S = 180.0

# Both files are the appliance's own; what is changed is where things are.
_CONFIGURE = """
import configparser, json, pathlib, sys
given = json.load(sys.stdin)
def rewrite(source, target, changes):
    parser = configparser.RawConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str
    parser.read_string(pathlib.Path(source).read_text())
    for section, settings in changes.items():
        if not parser.has_section(section):
            parser.add_section(section)
        for name, value in settings.items():
            parser.set(section, name, value)
    with open(target, "w") as file:
        parser.write(file)
for each in given:
    rewrite(**each)
"""
_POOLS = """
import json, sys, time
from pathlib import Path
from cbstorage.ceph.answers import FileSystems
from cbstorage.ceph.monitor import Monitors
from cbstorage.leading import pools
conf, keyring, hosts, patience_s = sys.argv[1], sys.argv[2], sys.argv[3].split(","), float(sys.argv[4])
end_s = time.monotonic() + patience_s
def active(monitors):
    servers = [one for fs in monitors.ask("fs dump", FileSystems).filesystems for one in fs.mdsmap.info.values()]
    return any(one.state == "up:active" for one in servers)
with Monitors(Path(conf), entity="client.admin", keyring=Path(keyring)) as monitors:
    while not (pools.ensure(monitors, hosts) and active(monitors)):
        if time.monotonic() > end_s:
            sys.exit("no file system")
        time.sleep(0.5)
"""


@contextmanager
def running(demo: Demo) -> Iterator[Path]:
    """Give the place where a second cluster's file system is mounted on every storage host of a demo, and end it."""
    cluster = _Cluster(demo)
    try:
        cluster.start()
        yield MOUNT_POINT
    finally:
        cluster.stop()


class _Cluster:
    """The second cluster."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._hosts = [host.name for host in demo.storage]
        self._first = self._hosts[0]
        self._fsid = str(uuid.uuid4())

    def start(self) -> None:
        addresses = interconnect.build(self._demo.lab.names, self._demo.lab.topology)
        status = self._demo.ask("storage", "status")
        numbers = {osd["host"]: osd["id"] for osd in status["state"]["osds"]}
        server = status["state"]["active_mds"][0].removeprefix("mds-")
        for host in self._hosts:
            self._configure(host, addresses, status["specification"]["group"])
        self._start_monitor(addresses[self._first])
        for host in sorted(self._hosts, key=lambda host: int(numbers[host])):
            self._start_osd(host)
        self._start_server(server)
        words = [PYTHON, "-I", "-c", _POOLS, str(CONF), str(ADMIN), ",".join(self._hosts), f"{PATIENCE_S:g}"]
        self._demo.run(self._first, words, timeout=PATIENCE_S + 20)
        wait_until("every placement group of the second cluster is active", self._is_active, timeout_s=PATIENCE_S)
        for host in self._hosts:
            self._mount(host)

    def stop(self) -> None:
        """End its processes; what it has on disks goes with the lab."""
        for host in self._hosts:
            self._shell(host, f"umount --lazy {MOUNT_POINT}; systemctl kill --signal=KILL 'direct-*'; true")

    def _configure(self, host: str, addresses: Mapping[str, IPv4Address], group: str) -> None:
        own, monitor = addresses[host], f"[v2:{addresses[self._first]}:3300]"
        common = {"fsid": self._fsid, "mon_host": monitor}
        daemons = {
            "global": {
                **common, "public_network": str(interconnect.RANGE), "cluster_network": str(interconnect.RANGE),
                "public_addr": str(own), "cluster_addr": str(own), "run_dir": str(RUN),
                "admin_socket": f"{RUN}/$name.asok", "log_file": f"{DATA}/$name.log", "pid_file": f"{RUN}/$name.pid",
                "crash_dir": str(DATA),
            },
            "mon": {"mon_data": f"{DATA}/mon", "public_addrv": f"[v2:{own}:3300/0]"},
            "osd": {"osd_data": f"{DATA}/osd"},
            "mds": {"mds_data": f"{DATA}/mds", "keyring": f"{DATA}/mds/keyring"},
        }  # fmt: skip
        given = [
            {"source": "/etc/ceph/ceph.conf", "target": str(CONF), "changes": daemons},
            {
                "source": f"/var/lib/larva/storage/mount/{group}/{VOLUME}/ceph.conf", "target": str(CLIENT_CONF),
                "changes": {"global": common},
            },
        ]  # fmt: skip
        self._shell(
            host,
            f"""set -e; umask 077; mkdir -p {DATA}/mon {DATA}/osd {DATA}/mds {RUN} {MOUNT_POINT}
            nft insert rule inet larva input ip saddr {interconnect.RANGE} accept""",
        )
        machine = self._demo.lab.machine(host)
        machine.run([PYTHON, "-I", "-c", _CONFIGURE], input=json.dumps(given).encode(), timeout=30)

    def _start_monitor(self, address: IPv4Address) -> None:
        self._shell(
            self._first,
            f"""set -e; umask 077; cd {DATA}
            ceph-authtool --create-keyring mon.keyring --gen-key -n mon. --cap mon 'allow *'
            ceph-authtool --create-keyring {ADMIN} --gen-key -n client.admin --cap mon 'allow *' \
                --cap osd 'allow *' --cap mds 'allow *' --cap mgr 'allow *'
            ceph-authtool mon.keyring --import-keyring {ADMIN}
            monmaptool --create --addv direct '[v2:{address}:3300]' --fsid {self._fsid} monmap
            ceph-mon --conf {CONF} --mkfs -i direct --monmap monmap --keyring mon.keyring
            {_service("mon", "direct")}""",
        )
        keyring = self._shell(self._first, f"cat {ADMIN}")
        for host in self._hosts[1:]:
            self._put(host, ADMIN, keyring)
        wait_until("the second cluster's monitor answers", self._answers, timeout_s=PATIENCE_S)

    def _start_osd(self, host: str) -> None:
        uid = str(uuid.uuid4())
        number = json.loads(self._ceph("osd", "new", uid))["osdid"]
        caps = ("mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *")
        self._put(host, DATA / "osd/keyring", self._ceph("auth", "get-or-create", f"osd.{number}", *caps, plain=True))
        disk = DISK_DIRECTORY / "direct.img"
        self._shell(
            host,
            f"""set -e; umask 077
            truncate --size=4G {disk}; ln -s {disk} {DATA}/osd/block
            ceph-osd --conf {CONF} --mkfs -i {number} --osd-uuid {uid}
            {_service("osd", str(number))}""",
            timeout=PATIENCE_S,
        )

    def _start_server(self, host: str) -> None:
        caps = ("mon", "profile mds", "mgr", "profile mds", "mds", "allow *", "osd", "allow *")
        self._put(host, DATA / "mds/keyring", self._ceph("auth", "get-or-create", "mds.direct", *caps, plain=True))
        self._shell(host, _service("mds", "direct"))

    def _mount(self, host: str) -> None:
        self._shell(
            host,
            f"systemd-run --quiet --unit=direct-mount ceph-fuse -f --conf {CLIENT_CONF} --name client.admin "
            f"--keyring {ADMIN} --client_fs cladfs --localize-reads -r / {MOUNT_POINT}",
        )
        wait_until(
            f"{host} has the second cluster mounted",
            lambda: f" {MOUNT_POINT} " in self._shell(host, "cat /proc/self/mountinfo"),
            timeout_s=60,
        )

    def _answers(self) -> bool:
        try:
            return "quorum" in self._ceph("quorum_status")
        except LarvaError:
            return False

    def _is_active(self) -> bool:
        """By what a write to each pool says, since there is no manager that counts."""
        pools = json.loads(self._ceph("osd", "pool", "ls"))
        words = " ".join(
            f"rados --conf {CONF} --keyring {ADMIN} -p {pool} put probe-{number} /etc/hostname && "
            f"rados --conf {CONF} --keyring {ADMIN} -p {pool} rm probe-{number} &&"
            for pool in pools
            for number in range(4)
        )
        try:
            self._shell(self._first, f"{words} true")
        except LarvaError:
            return False
        return True

    def _ceph(self, *words: str, plain: bool = False) -> str:
        form = [] if plain else ["--format", "json"]
        who = ["--conf", str(CONF), "--keyring", str(ADMIN), "--connect-timeout", "20"]
        machine = self._demo.lab.machine(self._first)
        return machine.run(["ceph", *who, *form, *words], timeout=60, secret=plain)

    def _put(self, host: str, path: Path, text: str) -> None:
        """Write a key, by standard input."""
        words = ["sh", "-c", f"umask 077; cat > {path}"]
        self._demo.lab.machine(host).run(words, input=f"{text.strip()}\n".encode(), secret=True)

    def _shell(self, host: str, script: str, *, timeout: float = 60) -> str:
        return self._demo.run(host, ["sh", "-c", script], timeout=timeout)


def _service(kind: str, name: str) -> str:
    return f"systemd-run --quiet --unit=direct-{kind} ceph-{kind} -f --conf {CONF} -i {name}"
