"""A small real Ceph of the image's own programs: one monitor, OSDs with places of their own, a metadata server.

It lives in namespaces of its own, under a root made of the image's base tree and a scratch layer, and is gone with the
test run, however that ends. The checkout is inside, read only, so that our code runs for real against it.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from cbstorage.ceph import cephx, conf
from cbstorage.ceph.crush import Place, place
from cbstorage.model import FILE_SYSTEM, Monitor
from cladnet.model import CloudFacts
from images import layin
from images.pipeline import Pipeline
from larva import process

PLACES = tuple(
    place(f"{provider}-1", CloudFacts(provider=provider, region=region, zone="a"))
    for provider, region in (("aws", "ap-southeast-2"), ("gcp", "asia-east1"), ("azure", "uksouth"))
)
MON = "aws-1"
MDS = "mds-aws-1"
PATIENCE_S = 120.0
CLIENT_CONF = "/etc/ceph/client.conf"
"""What a host that mounts a volume has."""
CHECKOUT = "/mnt/checkout"
DEPENDENCIES = "/mnt/dependencies"
CONFINEMENT = (
    "setpriv", "--pdeathsig", "KILL", "--",
    "unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "--kill-child", "--propagation", "private",
)  # fmt: skip
ASSEMBLE = """
test -z "$MEMORY" || mount -t tmpfs -o mode=755 tmpfs "$BASE"
mkdir "$BASE/upper" "$BASE/work" "$ROOT"
mount -t overlay -o "index=off,lowerdir=$TREE,upperdir=$BASE/upper,workdir=$BASE/work" overlay "$ROOT"
mount -t proc proc /proc
mount -t proc proc "$ROOT/proc"
mount --rbind /sys "$ROOT/sys"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs tmpfs "$ROOT/run"
mount -t tmpfs tmpfs "$ROOT/tmp"
mount -t tmpfs tmpfs "$ROOT/mnt"
mkdir -p "$ROOT/mnt/checkout" "$ROOT/mnt/dependencies" "$ROOT/run/ceph"
mount --bind "$CHECKOUT" "$ROOT/mnt/checkout"
mount -o remount,bind,ro "$ROOT/mnt/checkout"
mount --bind "$DEPENDENCIES" "$ROOT/mnt/dependencies"
mount -o remount,bind,ro "$ROOT/mnt/dependencies"
ip link set lo up
echo ready
sleep infinity &
wait
"""
"""Its last lines reap what daemons leave behind: this shell is process 1 of the namespace."""

PYTHON = """
import json, sys
arguments, source = json.load(sys.stdin)
scope = {"__name__": "small", "result": None, **arguments}
real, sys.stdout = sys.stdout, sys.stderr
exec(compile(source, "<test>", "exec"), scope)
json.dump(scope["result"], real)
"""
FOUND = """
import json
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
with Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors:
    result = [
        json.loads(monitors.run("osd new", uuid=one, stdin=json.dumps({"cephx_secret": key}).encode(), format="json"))
        for one, key in osds
    ]
"""
MAKE_FILE_SYSTEM = """
import time
from cbstorage.ceph import timing
from cbstorage.ceph.answers import FileSystems
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading import pools, tuning
deadline = time.monotonic() + patience_s
def active(monitors):
    return any(one.state == "up:active" for fs in monitors.ask("fs dump", FileSystems).filesystems
               for one in fs.mdsmap.info.values())
with Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors:
    while not (pools.ensure(monitors, hosts) and active(monitors)):
        assert time.monotonic() < deadline, "no file system"
        time.sleep(0.1)
    tuning.ensure(monitors, timing.STEPS_MS[0])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What of the image pipeline a small Ceph needs: the base tree and our locked dependencies, not our package."""

    tree: Path
    dependencies: Path


def image() -> Image:
    """Build them or take them from the cache; an edit of our code rebuilds neither."""
    pipeline = Pipeline("full")
    base, python = pipeline.cache.ensure(pipeline.base), pipeline.cache.ensure(pipeline.python)
    return Image(tree=base / "root", dependencies=python / "site-packages")


class SmallCeph:
    """A running cluster; make it with `running`.

    Its address and the test's own, `outside`, are the two ends of one cable: what the test lets listen on `outside`
    (etcd, say) our code inside can reach.
    """

    def __init__(self, image: Image, directory: Path, places: Sequence[Place]) -> None:
        self.directory = directory
        self.root = directory / "root"
        self.places = tuple(places)
        self.fsid = str(uuid.uuid4())
        self._image = image
        self._pid = 0
        self.outside = self.address = IPv4Address("0.0.0.0")
        self.network = IPv4Network("0.0.0.0/30")
        self.keys = {name: cephx.new_key(created_s=int(time.time())) for name in (cephx.ADMIN, cephx.MON, f"mds.{MDS}")}

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        timeout: float = 60,
        input: bytes | None = None,  # noqa: A002 - the name subprocess gives it
        env: Mapping[str, str] | None = None,
        ok_codes: Sequence[int] = (0,),
    ) -> str:
        """Run a program of the tree and return its output; errors are those of `larva.process.run`."""
        words = ["chroot", self.root, "env", "-i", *(f"{key}={value}" for key, value in _environment(env).items())]
        return self._enter([*words, *argv], timeout=timeout, given=input, ok_codes=ok_codes)

    def run_outside(self, argv: Sequence[str | Path], *, timeout: float = 60, ok_codes: Sequence[int] = (0,)) -> str:
        """Run a program of this machine where it sees the tree's mounts: `Mount.outside`."""
        return self._enter(argv, timeout=timeout, ok_codes=ok_codes)

    def _enter(
        self, argv: Sequence[str | Path], *, timeout: float, ok_codes: Sequence[int], given: bytes | None = None
    ) -> str:
        # The inner bound ends the program itself: ending nsenter alone would leave it behind, with our pipe in hand.
        return process.run(
            [*self._entrance(), "timeout", "--signal=KILL", f"{timeout:g}", *argv],
            timeout=timeout + 20, input=given, ok_codes=ok_codes,
        )  # fmt: skip

    def _entrance(self) -> list[str]:
        return ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--uts", "--ipc", "--net", "--"]

    def start(self, argv: Sequence[str | Path]) -> "subprocess.Popen[bytes]":
        """Start a program of the tree that goes on, pipes at its input and output.

        Let it end at the end of its input (`communicate`), or by `run(["pkill", …])`: ending nsenter leaves it behind.
        """
        words = ["chroot", self.root, "env", "-i", *(f"{key}={value}" for key, value in _environment(None).items())]
        return subprocess.Popen(
            [*map(str, [*self._entrance(), *words, *argv])], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def write(self, path: str, content: str, mode: int = 0o600) -> None:
        """Write a file inside, its directory made."""
        script = 'mkdir -p "$(dirname "$0")" && umask 077 && cat >"$0" && chmod "$1" "$0"'
        self.run(["sh", "-c", script, path, f"{mode:o}"], input=content.encode())

    def ceph(self, *words: str, timeout: float = 60) -> Any:
        """Return Ceph's JSON answer to a command, None where it has none."""
        answer = self.run(["ceph", "--connect-timeout", "20", *words, "--format", "json"], timeout=timeout).strip()
        return json.loads(answer) if answer else None

    def python(self, source: str, *, timeout: float = 60, **arguments: Any) -> Any:
        """Run our code inside, with the image's Python, librados and libcephfs.

        Args:
            source: statements that find the arguments as names and leave their answer in `result`.
            arguments: what JSON can carry; so can the answer.

        Raises:
            ProgramFailed: it raised; the message ends with the traceback.
        """
        document = json.dumps([arguments, source]).encode()
        answer = self.run(["python3", "-c", PYTHON], input=document, timeout=timeout)
        return json.loads(answer)

    def kill(self, daemon: str, name: str = "KILL") -> None:
        """Send a signal to a daemon, as `osd.0`, `mon.aws-1`, and after KILL wait until it is gone."""
        script = 'p=$(cat "/run/ceph/$0.pid"); kill -$1 $p; [ $1 != KILL ] || while kill -0 $p 2>&-; do sleep 0.1; done'
        self.run(["sh", "-c", script, daemon, name])

    def start_daemon(self, daemon: str) -> None:
        """Start a daemon that is made already and return when it runs (in whatever state)."""
        kind, _, name = daemon.partition(".")
        self.run([f"ceph-{kind}", "--id", name, "--pid-file", f"/run/ceph/{daemon}.pid"])

    @contextlib.contextmanager
    def mount(
        self, path: str = "/", *, entity: str = cephx.ADMIN, key: str = "", options: Sequence[str] = ()
    ) -> Iterator["Mount"]:
        """Mount a directory of the file system by ceph-fuse; each is a client of its own.

        Args:
            path: in the file system.
            entity, key: whom to mount as.
            options: further words for ceph-fuse.
        """
        name = f"m{secrets.token_hex(4)}"
        at, keyring = f"/mnt/{name}", f"/run/{name}.keyring"
        self.write(keyring, cephx.keyring(cephx.Identity(entity=entity, key=key or self.keys[entity])))
        self.run(["mkdir", at])
        self.run([
            "ceph-fuse", "--conf", CLIENT_CONF, "--name", entity, "--keyring", keyring, "--client_fs", FILE_SYSTEM,
            "-r", path, "--pid-file", f"/run/ceph/{name}.pid", "--client_mount_timeout=30", *options, at,
        ])  # fmt: skip
        try:
            yield Mount(small=self, name=name, path=at, outside=self.root / at.lstrip("/"))
        finally:
            self.run(["umount", "--lazy", at], ok_codes=(0, 32))
            self.run(["sh", "-c", 'kill -KILL "$(cat "$0")" 2>&- || :', f"/run/ceph/{name}.pid"])

    def wait(self, what: str, condition: Callable[[], object], *, seconds: float = PATIENCE_S) -> None:
        """Poll until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not so in time: {what}\n{self.log()}"
            time.sleep(0.2)

    def log(self) -> str:
        """The last lines that the daemons wrote."""
        return self.run(["sh", "-c", "tail -n 15 /var/log/ceph/*.log"], ok_codes=(0, 1))

    def assemble(self, stack: contextlib.ExitStack) -> None:
        """Make the namespaces and the cable."""
        environment = {
            "TREE": str(self._image.tree), "BASE": str(self.directory), "ROOT": str(self.root),
            "CHECKOUT": str(layin.SOURCES), "DEPENDENCIES": str(self._image.dependencies), "PATH": os.environ["PATH"],
            "MEMORY": "yes" if _direct_in_memory() else "",
        }  # fmt: skip
        holder = subprocess.Popen(
            [*CONFINEMENT, "/bin/sh", "-euc", ASSEMBLE], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        stack.callback(self._end, holder)
        assert holder.stdout is not None
        said = holder.stdout.readline()
        assert said == b"ready\n", said + holder.stdout.read()
        self._pid = int(Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()[0])
        port = f"small-{secrets.token_hex(4)}"
        process.run(["ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(self._pid)])
        while True:
            # 198.18.0.0/15 is for tests of networks (RFC 2544); another run of the tests may have taken a part of it.
            self.network = IPv4Network((int(IPv4Address("198.18.0.0")) + 4 * secrets.randbelow(1 << 15), 30))
            self.outside, self.address = self.network.network_address + 1, self.network.network_address + 2
            if not process.run(["ip", "route", "show", "exact", str(self.network)]):
                break
        process.run(["ip", "addr", "add", f"{self.outside}/30", "dev", port])
        process.run(["ip", "link", "set", port, "up"])
        self._enter(["ip", "addr", "add", f"{self.address}/30", "dev", "eth0"], timeout=20, ok_codes=(0,))
        self._enter(["ip", "link", "set", "eth0", "up"], timeout=20, ok_codes=(0,))

    def _end(self, holder: "subprocess.Popen[bytes]") -> None:
        """End process 1: the kernel kills all others before it is gone, and the mounts go with the last."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid or holder.pid, signal.SIGKILL)
        holder.wait(timeout=PATIENCE_S)
        assert holder.stdout is not None
        holder.stdout.close()

    def found(self, *, osd_bytes: int, settings: Mapping[str, object]) -> None:
        """Bring monitor, OSDs and metadata server up."""
        cluster = conf.Cluster(fsid=self.fsid, cidr=self.network, monitors=(Monitor(host=MON, address=self.address),))
        text = conf.render(cluster, conf.Host(address=self.address, place=self.places[0]))
        own: dict[str, object] = {"run_dir": "/run/ceph", "bluestore_block_size": osd_bytes, **settings}
        for number, there in enumerate(self.places):
            text += f"\n[osd.{number}]\ncrush_location = {there.location()}\n"
            text += "".join(f"{key} = {value}\n" for key, value in own.items())
        for section in (f"mon.{MON}", f"mds.{MDS}"):
            text += f"\n[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in own.items())
        self.write("/etc/ceph/ceph.conf", text, 0o644)
        self.write(CLIENT_CONF, conf.render_client(cluster), 0o644)
        caps = {cephx.ADMIN: cephx.ADMIN_CAPS, cephx.MON: cephx.MON_CAPS, f"mds.{MDS}": cephx.MDS_CAPS}
        known = {name: cephx.Identity(entity=name, key=self.keys[name], caps=granted) for name, granted in caps.items()}
        self.write(f"/etc/ceph/ceph.{cephx.ADMIN}.keyring", cephx.keyring(known[cephx.ADMIN]))
        self.write("/run/all.keyring", cephx.keyring(*known.values()))
        vector = conf.address_vector(self.address)
        self.run(["monmaptool", "--create", "--fsid", self.fsid, "--addv", MON, vector, "/run/monmap"])
        self.run(["ceph-mon", "--mkfs", "--id", MON, "--monmap", "/run/monmap", "--keyring", "/run/all.keyring"])
        self.start_daemon(f"mon.{MON}")
        mds = f"/var/lib/ceph/mds/ceph-{MDS}/keyring"
        self.write(mds, cephx.keyring(cephx.Identity(entity=f"mds.{MDS}", key=self.keys[f"mds.{MDS}"])))
        self.start_daemon(f"mds.{MDS}")
        wanted = [(str(uuid.uuid4()), cephx.new_key(created_s=int(time.time()))) for _ in self.places]
        numbers = [int(answer["osdid"]) for answer in self.python(FOUND, osds=wanted)]
        assert numbers == list(range(len(self.places)))
        with ThreadPoolExecutor(len(numbers)) as pool:
            list(pool.map(self._make_osd, numbers, wanted))

    def _make_osd(self, number: int, wanted: tuple[str, str]) -> None:
        one, key = wanted
        identity = cephx.Identity(entity=f"osd.{number}", key=key)
        self.write(f"/var/lib/ceph/osd/ceph-{number}/keyring", cephx.keyring(identity))
        self.run(["ceph-osd", "--mkfs", "--id", str(number), "--osd-uuid", one], timeout=PATIENCE_S)
        self.start_daemon(f"osd.{number}")

    def make_file_system(self) -> None:
        """Make rule, pools and file system by our own code, and wait for its metadata server."""
        hosts = [one.host for one in self.places]
        self.python(MAKE_FILE_SYSTEM, hosts=hosts, patience_s=PATIENCE_S, timeout=PATIENCE_S + 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A client's mount."""

    small: SmallCeph
    name: str
    path: str
    """For the tree's programs."""
    outside: Path
    """For this machine's programs, `SmallCeph.run_outside`."""

    def run(self, argv: Sequence[str | Path], *, timeout: float = 60, ok_codes: Sequence[int] = (0,)) -> str:
        """Run a program of the tree in it."""
        return self.small.run(
            ["sh", "-c", 'cd "$0" && exec "$@"', self.path, *argv], timeout=timeout, ok_codes=ok_codes
        )

    def start(self, argv: Sequence[str | Path]) -> "subprocess.Popen[bytes]":
        """Start a program of the tree in it that goes on, as `SmallCeph.start`."""
        return self.small.start(["sh", "-c", 'cd "$0" && exec "$@"', self.path, *argv])

    def read(self, name: str) -> bytes:
        """The content of a file, which is text."""
        return self.run(["cat", name]).encode()

    def write(self, name: str, content: bytes) -> None:
        """Write a file, on the OSDs when this returns."""
        self.small.run(["dd", f"of={self.path}/{name}", "conv=fsync", "status=none"], input=content)


@contextlib.contextmanager
def running(
    image: Image,
    *,
    places: Sequence[Place] = PLACES,
    osd_bytes: int = 2 << 30,
    settings: Mapping[str, object] | None = None,
    file_system: bool = True,
) -> Iterator[SmallCeph]:
    """Bring a small Ceph up, and take it down.

    Args:
        places: one for each OSD.
        osd_bytes: size of each OSD's sparse file.
        settings: further lines of ceph.conf for the daemons.
        file_system: whether to make pools and file system as a storage cluster of ours has them.
    """
    with contextlib.ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="larva-small-ceph-"))
        stack.callback(shutil.rmtree, directory)
        small = SmallCeph(image, directory, places)
        small.assemble(stack)
        small.found(osd_bytes=osd_bytes, settings=settings or {})
        if file_system:
            small.make_file_system()
        yield small


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8",
        "PYTHONPATH": f"{CHECKOUT}:{DEPENDENCIES}", "PYTHONPYCACHEPREFIX": "/var/cache/pyc", **(more or {}),
    }  # fmt: skip


def _direct_in_memory() -> bool:
    """Whether tmpfs takes O_DIRECT, which BlueStore opens its device with (since Linux 6.6)."""
    try:
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            os.close(os.open(file.name, os.O_RDWR | os.O_DIRECT))
    except OSError:
        return False
    return True
