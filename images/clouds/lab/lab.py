"""A lab: clouds on one machine that hosts of the image are launched on, cut off, moved and brought back."""

import contextlib
import os
import secrets
import shutil
import string
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from images.clouds.lab import cgroup, network, preflight, relay, topology
from images.clouds.lab.machine import Machine, Place
from images.clouds.lab.state import Forward, Phase, State, StateFile, check_run_id, labs_directory
from images.clouds.lab.topology import Host, Topology
from larva import codec, files, settings
from larva.errors import Conflict, LarvaError, NotFound, TimedOut

CGROUP = "larva-lab"
HELPER_TIMEOUT_S = 15.0
_POLL_S = 0.02
_LAUNCHES_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """One host of a lab as it is now."""

    name: str
    cloud: str
    provider: str
    region: str
    roles: tuple[topology.Role, ...]
    private: IPv4Address
    public: IPv4Address
    state: str
    """`absent` (not launched), `off`, or `on`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStatus:
    """A lab as it is now."""

    run_id: str
    phase: Phase
    created_at: datetime | None
    tree: Path | None
    rtt: bool
    cut: tuple[str, ...]
    hosts: tuple[HostStatus, ...]
    forwards: tuple[Forward, ...]


class Lab:
    """One lab, by its run id; its state is on disk, so that any process can go on with it."""

    def __init__(self, run_id: str) -> None:
        self.file = StateFile(run_id)
        self.run_id = run_id
        self.names = network.Names(run_id)

    @classmethod
    def create(cls, plan: Topology, tree: Path, run_id: str | None = None) -> "Lab":
        """Build the clouds; no host runs yet.

        Args:
            plan: what the lab looks like.
            tree: the image's root tree; it is only read.
            run_id: part of every name, 1 to 12 of a-z and 0-9; drawn without one.

        Raises:
            LarvaError: it cannot be built here, or the run id is taken; nothing is left behind.
        """
        topology.check(plan, source="topology")
        tree = tree.absolute()
        data_root = settings.cache_directory() / "labs"
        if run_id is not None:
            check_run_id(run_id)
        if os.geteuid() == 0:
            data_root.mkdir(parents=True, exist_ok=True)
        preflight.check(plan, tree, data_root)
        lab = cls._reserve(run_id)
        try:
            with lab.file.locked():
                lab._build(
                    State(
                        run_id=lab.run_id, created_at=datetime.now(UTC), phase=Phase.CREATING, topology=plan, tree=tree,
                        data=data_root / lab.run_id, cgroup=cgroup.hierarchy() / CGROUP / lab.run_id,
                        lease=_lease(tree, lab.run_id),
                    )
                )  # fmt: skip
        except BaseException:
            lab.destroy()
            raise
        return lab

    @classmethod
    def find(cls, run_id: str | None = None) -> "Lab":
        """Return the lab of that run id, or the only one there is; NotFound or Conflict otherwise."""
        if run_id is not None:
            lab = cls(run_id)
            lab.file.load()
            return lab
        labs = cls.all()
        if not labs:
            raise NotFound("no lab is up", hint="bring one up with `larva demo up`")
        if len(labs) > 1:
            raise Conflict(
                f"{len(labs)} labs are up: {', '.join(lab.run_id for lab in labs)}", hint="say which: --run ID"
            )
        return labs[0]

    @classmethod
    def all(cls) -> tuple["Lab", ...]:
        """Return every lab of this machine, half made ones included."""
        with contextlib.suppress(FileNotFoundError):
            return tuple(cls(entry.name) for entry in sorted(labs_directory().iterdir()) if entry.is_dir())
        return ()

    @property
    def state(self) -> State:
        """What is known about the lab now."""
        return self.file.load()

    @property
    def topology(self) -> Topology:
        """What the lab looks like now, re-addressed and added hosts included."""
        return self.state.topology

    def machine(self, name: str) -> Machine:
        """Return a host's machine, launched or not; NotFound for a host that the lab does not have."""
        state = self.state
        return self._machine(state, state.topology.host(name))

    def machines(self) -> tuple[Machine, ...]:
        """Return the machines that were launched."""
        state = self.state
        return tuple(self._machine(state, host) for host in state.topology.hosts if host.name in state.launched)

    def launch(self, host: str, user_data: str) -> Machine:
        """Make a host's machine and start it; return when its systemd takes commands.

        `wait_running` of the machine waits for the rest, cloud-init included.

        Args:
            host: its name in the topology.
            user_data: what cloud-init is given: cloud-config or a script.

        Raises:
            NotFound: the topology has no such host.
            Conflict: it was launched before.
            LarvaError: it does not come up; what was made of it is removed.
        """
        with self._changing() as (state, save):
            found = state.topology.host(host)
            if host in state.launched:
                raise Conflict(f"{host} was launched already", hint="switch it on with power_on")
            save(replace(state, launched=(*state.launched, host)))
        machine = self._machine(state, found)
        try:
            machine.make(
                state.topology.cloud(found.cloud), user_data=user_data, authorized_keys=(self._public_key(),),
                instance=f"i-{self.run_id}-{host}-{secrets.token_hex(4)}",
            )  # fmt: skip
            machine.power_on()
        except BaseException:
            with contextlib.suppress(NotFound), self._changing() as (state, save):
                _discard(machine)
                save(replace(state, launched=tuple(name for name in state.launched if name != host)))
            raise
        return machine

    def launch_all(self, user_data: Mapping[str, str]) -> dict[str, Machine]:
        """Launch several hosts at once: user-data by host name; the first error is raised when all have ended."""
        with ThreadPoolExecutor(max_workers=_LAUNCHES_AT_ONCE) as pool:
            started = {host: pool.submit(self.launch, host, text) for host, text in user_data.items()}
        return {host: future.result() for host, future in started.items()}

    def add_host(self, host: Host) -> None:
        """Give the running lab one more host, to be launched then."""
        with self._changing() as (state, save):
            grown = replace(state.topology, hosts=(*state.topology.hosts, host))
            topology.check(grown, source=f"host {host.name}")
            save(replace(state, topology=grown))
            try:
                network.add_namespace(self.names.host(host.name))
                network.connect_host(self.names, grown, len(grown.hosts) - 1)
                network.translate(self.names, grown, host.cloud)
            except BaseException:
                network.remove_namespace(self.names.host(host.name))
                save(state)
                raise

    def readdress(self, host: str, *, public: IPv4Address | None = None, private: IPv4Address | None = None) -> Host:
        """Change a host's addresses while it runs; flows over the old ones break, as at a provider."""
        with self._changing() as (state, save):
            old = state.topology.host(host)
            new = replace(old, public=public or old.public, private=private or old.private)
            hosts = tuple(new if one.name == host else one for one in state.topology.hosts)
            changed = topology.check(replace(state.topology, hosts=hosts), source=f"host {host}")
            save(replace(state, topology=changed))
            network.readdress(self.names, changed, new)
        return new

    def cut(self, cloud: str) -> None:
        """Cut a cloud off from all others: what it sends and is sent is lost in silence."""
        self._set_uplink(cloud, up=False)

    def heal(self, cloud: str) -> None:
        """Join a cloud that was cut off again."""
        self._set_uplink(cloud, up=True)

    def rtt(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Put the topology's round-trip times between the clouds, or take them away, while everything runs."""
        with self._changing() as (state, save):
            group = state.cgroup / "relay"
            if on and not (state.rtt and cgroup.populated(group)):
                save(replace(state, rtt=True))
                try:
                    self._start_relay(state, group)
                    network.switch(self.names, state.topology.clouds, on=False)
                except BaseException:
                    network.switch(self.names, state.topology.clouds, on=True)
                    cgroup.remove(group)
                    save(replace(state, rtt=False))
                    raise
            elif not on:
                network.switch(self.names, state.topology.clouds, on=True)
                cgroup.remove(group)
                save(replace(state, rtt=False))

    def forward(self, host: str, port: int, *, listen: int | None = None) -> int:
        """Lead a TCP port of this machine's loopback to a port of a host; return the port of the loopback.

        Args:
            host: where it leads; the way exists while the lab does, also when the host is off or its cloud cut.
            port: the host's port.
            listen: the loopback's port; without it the first free one from `port` on.

        Raises:
            Conflict: `listen` is taken.
        """
        with self._changing() as (state, save):
            state.topology.host(host)
            group = state.cgroup / f"forward-{host}-{port}"
            for known in state.forwards:
                if (known.host, known.port) == (host, port):
                    if cgroup.populated(group) and listen in (None, known.listen):
                        return known.listen
                    listen = listen or known.listen
            cgroup.remove(group)
            others = tuple(known for known in state.forwards if (known.host, known.port) != (host, port))
            found = self.file.directory / f"forward-{host}-{port}"
            found.unlink(missing_ok=True)
            group.mkdir()
            first, tries = (listen, 1) if listen is not None else (port, len(others) + 100)
            cgroup.spawn(
                [sys.executable, "-m", "images.clouds.lab.forward", network.path_of(self.names.host(host)), str(port),
                 str(first), str(tries), found],
                group=group, log_file=self._log("forward"),
            )  # fmt: skip
            try:
                self._wait_for(found, group, f"the way to port {port} of {host}")
                chosen = int(found.read_text())
            except LarvaError as error:
                cgroup.remove(group)
                save(replace(state, forwards=others))
                raise Conflict(
                    f"no port for {host}:{port} on the loopback"
                    + (f": {listen} is taken" if listen is not None else f" from {port} on"),
                    hint="name a free one",
                ) from error
            save(replace(state, forwards=(*others, Forward(host=host, port=port, listen=chosen))))
            return chosen

    def ssh_command(self, host: str, *, user: str = "debian") -> list[str]:
        """Return the command that opens a shell on a host by ssh, with the key that cloud-init put there."""
        found = self.topology.host(host)
        directory = self.file.directory
        return [
            "nsenter", f"--net={network.path_of(self.names.host(host))}", "ssh", "-i", str(directory / "ssh_key"),
            "-o", f"UserKnownHostsFile={directory / 'known_hosts'}", "-o", f"HostKeyAlias={host}",
            "-o", "StrictHostKeyChecking=accept-new", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=10",
            f"{user}@{found.private}",
        ]  # fmt: skip

    def status(self) -> LabStatus:
        """Return what the lab looks like now; also of one that was only half made."""
        try:
            state = self.state
        except NotFound:
            return LabStatus(
                run_id=self.run_id,
                phase=Phase.CREATING,
                created_at=None,
                tree=None,
                rtt=False,
                cut=(),
                hosts=(),
                forwards=(),
            )
        return LabStatus(
            run_id=self.run_id, phase=state.phase, created_at=state.created_at, tree=state.tree, rtt=state.rtt,
            cut=state.cut, hosts=tuple(self._host_status(state, host) for host in state.topology.hosts),
            forwards=state.forwards,
        )  # fmt: skip

    def destroy(self) -> None:
        """Remove all that was made, however far that came; nothing happens when there is no such lab.

        Processes are found by the lab's cgroup and namespaces by its run id, so none of another lab is touched.
        """
        with contextlib.suppress(NotFound), self.file.locked():
            state = None
            with contextlib.suppress(NotFound):
                state = self.file.load()
                self.file.save(replace(state, phase=Phase.DESTROYING))
            if state is not None:
                cgroup.remove(state.cgroup)
            for name in network.existing(f"{network.PREFIX}{self.run_id}-"):
                network.remove_namespace(name)
            if state is not None:
                _remove_directory(state.data)
                if state.lease is not None:
                    state.lease.unlink(missing_ok=True)
            shutil.rmtree(self.file.directory)

    @classmethod
    def _reserve(cls, run_id: str | None) -> "Lab":
        """Take a run id for this lab alone: whoever makes the directory has it."""
        labs_directory().mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            lab = cls(run_id or "".join(secrets.choice(string.ascii_lowercase) for _ in range(5)))
            try:
                lab.file.directory.mkdir(mode=0o700)
            except FileExistsError as error:
                if run_id is not None:
                    raise Conflict(
                        f"the run id {run_id} is taken", hint=f"end that lab with `larva demo down --run {run_id}`"
                    ) from error
            else:
                return lab

    def _build(self, state: State) -> None:
        self.file.save(state)  # first: whoever removes the lab learns from it what may be there
        _remove_directory(state.data)  # of a lab of that name before a reboot
        state.data.mkdir(mode=0o700)
        if state.lease is not None:
            state.lease.parent.mkdir(exist_ok=True)
            files.write_whole(state.lease, codec.encode({"lab": self.run_id, "state": self.file.path}) + b"\n")
        state.cgroup.mkdir(parents=True)
        self._make_key()
        for name in self.names.all(state.topology):
            network.add_namespace(name)
        network.build(self.names, state.topology)
        self.file.save(replace(state, phase=Phase.UP))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[tuple[State, Callable[[State], None]]]:
        """Give the state of a lab that is up and the function that saves it, while nobody else changes the lab."""
        with self.file.locked():
            state = self.file.load()
            if state.phase is not Phase.UP:
                raise Conflict(f"the lab {self.run_id} is {state.phase}", hint=f"`larva demo down --run {self.run_id}`")
            yield state, self.file.save

    def _machine(self, state: State, host: Host) -> Machine:
        return Machine(
            host,
            Place(
                tree=state.tree, directory=state.data / host.name, group=state.cgroup / f"vm-{host.name}",
                namespace=self.names.host(host.name), log_file=self._log(host.name),
            ),
        )  # fmt: skip

    def _host_status(self, state: State, host: Host) -> HostStatus:
        cloud = state.topology.cloud(host.cloud)
        machine = self._machine(state, host)
        return HostStatus(
            name=host.name, cloud=cloud.name, provider=cloud.provider, region=cloud.region, roles=host.roles,
            private=host.private, public=host.public,
            state="absent" if host.name not in state.launched else "on" if machine.on else "off",
        )  # fmt: skip

    def _set_uplink(self, cloud: str, *, up: bool) -> None:
        with self._changing() as (state, save):
            state.topology.cloud(cloud)
            others = tuple(name for name in state.cut if name != cloud)
            save(replace(state, cut=others if up else (*others, cloud)))
            network.set_uplink(self.names, cloud, up=up)

    def _start_relay(self, state: State, group: Path) -> None:
        cgroup.remove(group)
        group.mkdir()
        ready = self.file.directory / "relay.ready"
        ready.unlink(missing_ok=True)
        spec = self.file.directory / "relay.json"
        files.write_whole(spec, codec.encode(relay_spec(state.topology, ready)))
        network_option = f"--net={network.path_of(self.names.internet)}"
        cgroup.spawn(
            ["nsenter", network_option, sys.executable, "-m", "images.clouds.lab.relay", spec],
            group=group, log_file=self._log("relay"),
        )  # fmt: skip
        self._wait_for(ready, group, "the relay between the clouds")

    def _wait_for(self, path: Path, group: Path, what: str) -> None:
        """Wait until a helper has written the file that says that it serves."""
        deadline = time.monotonic() + HELPER_TIMEOUT_S
        while not path.exists():
            if not cgroup.populated(group) and not path.exists():
                raise LarvaError(f"{what} did not start", hint=f"see the logs in {self.file.directory}")
            if time.monotonic() > deadline:
                raise TimedOut(f"{what} did not start within {HELPER_TIMEOUT_S:g} s")
            time.sleep(_POLL_S)

    def _log(self, name: str) -> Path:
        return self.file.directory / f"{name}.log"

    def _make_key(self) -> None:
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        files.write_whole(self.file.directory / "ssh_key", private, mode=files.SECRET)
        files.write_whole(self.file.directory / "ssh_key.pub", public + f" lab {self.run_id}\n".encode())

    def _public_key(self) -> str:
        return (self.file.directory / "ssh_key.pub").read_text().strip()


def relay_spec(plan: Topology, ready: Path) -> relay.Spec:
    """Return what the relay of a topology has to do: half of each round-trip time in each direction."""
    return relay.Spec(
        ready=ready,
        uplinks=tuple(
            relay.Uplink(
                interface=network.uplink(cloud.name),
                mac=network.wan_mac(number),
                delay_ms={
                    network.uplink(other.name): plan.rtt_ms(cloud.name, other.name) / 2
                    for other in plan.clouds
                    if other is not cloud
                },
            )
            for number, cloud in enumerate(plan.clouds)
        ),
    )


def _lease(tree: Path, run_id: str) -> Path | None:
    """Return the file that keeps the stage of the pipeline which holds the tree; None for a tree from elsewhere."""
    stages = settings.cache_directory().absolute() / "stages"
    if stages not in tree.parents:
        return None
    for directory in (tree, *tree.parents):
        if (directory / "stage.json").is_file():
            return directory / "leases" / run_id
        if directory == stages:
            break
    return None


def _discard(machine: Machine) -> None:
    cgroup.remove(machine.place.group)
    _remove_directory(machine.place.directory)


def _remove_directory(directory: Path) -> None:
    """Remove a directory of the lab's data, unless something is mounted below it (which removal would empty)."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [point for point in mounted if Path(point).is_relative_to(directory)]
    if below:
        raise Conflict(f"{below[0]} is mounted below {directory}", hint=f"umount {below[0]}, and try again")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)
