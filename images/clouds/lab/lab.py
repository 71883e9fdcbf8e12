"""A lab: clouds on one machine that hosts of the image are launched on, cut off, moved and brought back."""

import contextlib
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from images.clouds.lab import (
    access,
    cgroup,
    construction,
    forward,
    helpers,
    leftovers,
    network,
    topology_check,
    underlay,
)
from images.clouds.lab.light_machine import LightMachine
from images.clouds.lab.machine import Machine, Place
from images.clouds.lab.state import Forward, Phase, State, StateFile, labs_directory
from images.clouds.lab.status import HostStatus, LabStatus
from images.clouds.lab.topology import Host, Topology
from images.clouds.lab.virtual_machine import VirtualMachine
from larva.errors import Conflict, InvalidInput, LarvaError, NotFound

_LAUNCHES_AT_ONCE = 8
_PORTS = 100
"""How many ports of the loopback are tried when none is asked for."""


class Lab:
    """One lab, by its run id; its state is on disk, so that any process can go on with it."""

    def __init__(self, run_id: str) -> None:
        self.file = StateFile(run_id)
        self.run_id = run_id
        self.names = network.Names(run_id)

    @classmethod
    def create(cls, plan: Topology, tree: Path, run_id: str | None = None, *, image: Path | None = None) -> "Lab":
        """Build the clouds; no host runs yet.

        Args:
            plan: what the lab looks like.
            tree: the image's root tree, for light machines; it is only read.
            run_id: part of every name, 1 to 12 of a-z and 0-9; drawn without one.
            image: the image's disk, qcow2 or raw, for virtual machines; it is only read.

        Raises:
            LarvaError: it cannot be built here, or the run id is taken; nothing is left behind.
        """
        return cls(construction.build(plan, tree, run_id, image=image).run_id)

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

    @property
    def is_emulated(self) -> bool:
        """Whether it has virtual machines whose processors are software."""
        hypervisor = self.state.hypervisor
        return hypervisor is not None and hypervisor.is_emulated

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
        with self.file.changing() as (state, save):
            found = state.topology.host(host)
            if host in state.launched:
                raise Conflict(f"{host} was launched already", hint="switch it on with power_on")
            save(replace(state, launched=(*state.launched, host)))
            machine = self._machine(state, found)
            try:
                machine.place.cable.write(self.names, state.topology, found)
                machine.make(
                    state.topology.cloud(found.cloud), user_data=user_data,
                    instance=f"i-{self.run_id}-{host}-{secrets.token_hex(4)}",
                    authorized_keys=(access.public_key(self.file.directory),),
                )  # fmt: skip
            except BaseException:
                _discard(machine)
                save(state)
                raise
        try:
            machine.power_on()
        except BaseException:
            with contextlib.suppress(NotFound, Conflict), self.file.changing() as (state, save):  # unless the lab went
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
        with self.file.changing() as (state, save):
            grown = replace(state.topology, hosts=(*state.topology.hosts, host))
            topology_check.check(grown, source=f"host {host.name}")
            save(replace(state, topology=grown))
            try:
                network.translate(self.names, grown, host.cloud)
            except BaseException:
                save(state)
                raise

    def readdress(self, host: str, *, public: IPv4Address | None = None, private: IPv4Address | None = None) -> Host:
        """Change a host's addresses while it runs; flows over the old ones break, as at a provider."""
        with self.file.changing() as (state, save):
            old = state.topology.host(host)
            if old.is_vm and private is not None:
                raise InvalidInput(
                    f"{host} is a virtual machine: its private address is its own", hint="change it there"
                )
            new = replace(old, public=public or old.public, private=private or old.private)
            hosts = tuple(new if one.name == host else one for one in state.topology.hosts)
            changed = topology_check.check(replace(state.topology, hosts=hosts), source=f"host {host}")
            save(replace(state, topology=changed))
            machine = self._machine(replace(state, topology=changed), new)
            machine.place.cable.write(self.names, changed, new)
            if not new.is_vm and machine.leader() is not None:
                network.readdress(self.names, changed, new)
            network.translate(self.names, changed, new.cloud)
        return new

    def cut(self, cloud: str) -> None:
        """Cut a cloud off from all others: what it sends and is sent is lost in silence."""
        underlay.set_uplink(self.file, cloud, up=False)

    def heal(self, cloud: str) -> None:
        """Join a cloud that was cut off again."""
        underlay.set_uplink(self.file, cloud, up=True)

    def rtt(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Put the topology's round-trip times between the clouds, or take them away, while everything runs."""
        underlay.set_rtt(self.file, on=on)

    def rate(self, mbit_s: float) -> None:
        """Let every cloud send so much at most while latencies are on, from now on; 0: as much as it can.

        Raises:
            MalformedData: no uplink has such a rate.
        """
        underlay.set_rate(self.file, mbit_s)

    def forward(self, host: str, port: int, *, listen: int | None = None) -> int:
        """Lead a TCP port of this machine's loopback to a port of a host; return the port of the loopback.

        Args:
            host: where it leads; the way exists while the lab does, also when the host is off or its cloud cut.
            port: the host's port.
            listen: the loopback's port; without it the first free one from `port` on.

        Raises:
            Conflict: `listen` is taken.
        """
        if not 0 < port < 65536 or (listen is not None and not 0 < listen < 65536):
            raise InvalidInput(f"port {port if listen is None else listen}", hint="a port is between 1 and 65535")
        with self.file.changing() as (state, save):
            found = state.topology.host(host)
            cable = network.cable(self.names, state.topology, found, self.file.directory)
            group = state.cgroup / f"forward-{host}-{port}"
            known = next((way for way in state.forwards if (way.host, way.port) == (host, port)), None)
            if known is not None and cgroup.populated(group) and listen in (None, known.listen):
                return known.listen
            others = tuple(way for way in state.forwards if way is not known)
            wanted = listen or (known.listen if known else None)
            try:
                chosen = helpers.start_forward(
                    network.path_of(cable.namespace), str(found.private) if found.is_vm else forward.LOOPBACK, port,
                    first=wanted or port, tries=1 if wanted else _PORTS,
                    group=group, directory=self.file.directory,
                )  # fmt: skip
            except LarvaError as error:
                cgroup.remove(group)
                save(replace(state, forwards=others))
                taken = f"port {wanted} is taken" if wanted else f"no port from {port} on is free"
                raise Conflict(f"no way to {host}:{port}: {taken} on the loopback", hint="name a free one") from error
            save(replace(state, forwards=(*others, Forward(host=host, port=port, listen=chosen))))
            return chosen

    def ssh_command(self, host: str, *, user: str = access.USER) -> list[str]:
        """Return the command that opens a shell on a host by ssh, with the key that cloud-init put there."""
        machine = self.machine(host)
        if not machine.on:
            raise NotFound(f"{host} is not running", hint="switch it on first")
        return access.ssh_command(self.file.directory, machine.host, machine.place.cable.namespace, user=user)

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
        construction.remove(self.file)

    def _machine(self, state: State, host: Host) -> Machine:
        place = Place(
            source=state.tree, directory=state.data / host.name, group=state.cgroup / f"vm-{host.name}",
            log_file=self._log(host.name), access=self.file.directory,
            cable=network.cable(self.names, state.topology, host, self.file.directory),
        )  # fmt: skip
        if host.is_vm and state.hypervisor is not None:
            return VirtualMachine(host, place, state.hypervisor)
        return LightMachine(host, place)

    def _host_status(self, state: State, host: Host) -> HostStatus:
        cloud = state.topology.cloud(host.cloud)
        machine = self._machine(state, host)
        return HostStatus(
            name=host.name, cloud=cloud.name, provider=cloud.provider, region=cloud.region, roles=host.roles,
            private=host.private, public=host.public,
            state="absent" if host.name not in state.launched else "on" if machine.on else "off",
        )  # fmt: skip

    def _log(self, name: str) -> Path:
        return self.file.directory / f"{name}.log"


def _discard(machine: Machine) -> None:
    cgroup.remove(machine.place.group)
    leftovers.remove_directory(machine.place.directory)
