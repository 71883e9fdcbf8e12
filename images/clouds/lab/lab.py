"""A lab: clouds on one machine that hosts of the image are launched on, cut off, moved and brought back."""

import contextlib
import secrets
import shutil
import string
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from images import accelerator
from images.clouds.lab import access, cgroup, forward, helpers, leftovers, network, preflight, topology_check
from images.clouds.lab.light_machine import LightMachine
from images.clouds.lab.machine import Machine, Place
from images.clouds.lab.qemu import Hypervisor
from images.clouds.lab.state import Forward, Phase, State, StateFile, check_run_id, labs_directory
from images.clouds.lab.status import HostStatus, LabStatus
from images.clouds.lab.topology import Host, Topology
from images.clouds.lab.virtual_machine import VirtualMachine
from larva.errors import Conflict, InvalidInput, LarvaError, NotFound

CGROUP = "larva-lab"
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
        topology_check.check(plan, source="topology")
        tree = tree.absolute()
        if run_id is not None:
            check_run_id(run_id)
        data_root = leftovers.data_root()
        preflight.check(plan, tree, data_root)
        hypervisor = _hypervisor(plan, image)
        leftovers.sweep()
        lab = cls._reserve(run_id)
        leased = (tree, *([hypervisor.image] if hypervisor else []))
        try:
            with lab.file.locked():
                lab._build(
                    State(
                        run_id=lab.run_id, created_at=datetime.now(UTC), phase=Phase.CREATING, topology=plan, tree=tree,
                        data=data_root / lab.run_id, cgroup=cgroup.hierarchy() / CGROUP / lab.run_id,
                        leases=leftovers.leases_on(leased, lab.run_id), hypervisor=hypervisor,
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
        with self._changing() as (state, save):
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
            with contextlib.suppress(NotFound, Conflict), self._changing() as (state, save):  # unless the lab went
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
            topology_check.check(grown, source=f"host {host.name}")
            save(replace(state, topology=grown))
            try:
                network.translate(self.names, grown, host.cloud)
            except BaseException:
                save(state)
                raise

    def readdress(self, host: str, *, public: IPv4Address | None = None, private: IPv4Address | None = None) -> Host:
        """Change a host's addresses while it runs; flows over the old ones break, as at a provider."""
        with self._changing() as (state, save):
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
                    helpers.start_relay(self.names, state.topology, group=group, directory=self.file.directory)
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

    def rate(self, mbit_s: float) -> None:
        """Let every cloud send so much at most while latencies are on, from now on; 0: as much as it can.

        Raises:
            MalformedData: no uplink has such a rate.
        """
        with self._changing() as (state, save):
            clouds = tuple(replace(cloud, uplink_mbit_s=mbit_s) for cloud in state.topology.clouds)
            changed = topology_check.check(replace(state.topology, clouds=clouds), source=f"rate {mbit_s:g}")
            save(replace(state, topology=changed))
            group = state.cgroup / "relay"
            if state.rtt and cgroup.populated(group):
                helpers.start_relay(self.names, changed, group=group, directory=self.file.directory)

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
        with self._changing() as (state, save):
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
                leftovers.remove_directory(state.data)
                for lease in state.leases:
                    lease.unlink(missing_ok=True)
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
                        f"the run id {run_id} is taken",
                        hint=f"end that lab with `larva demo down --run {run_id}`, or choose another id with --run",
                    ) from error
            else:
                return lab

    def _build(self, state: State) -> None:
        self.file.save(state)  # first: whoever removes the lab learns from it what may be there
        leftovers.remove_directory(state.data)  # of a lab of that name before a reboot
        state.data.mkdir(mode=0o700)
        owner = leftovers.Owner(run_id=self.run_id, directory=self.file.directory)
        leftovers.mark(state.data / leftovers.OWNER, owner)
        for lease in state.leases:
            leftovers.mark(lease, owner)
        state.cgroup.mkdir(parents=True)
        access.make_key(self.file.directory, comment=f"lab {self.run_id}")
        for name in self.names.lasting(state.topology):
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

    def _set_uplink(self, cloud: str, *, up: bool) -> None:
        with self._changing() as (state, save):
            state.topology.cloud(cloud)
            others = tuple(name for name in state.cut if name != cloud)
            save(replace(state, cut=others if up else (*others, cloud)))
            network.set_uplink(self.names, cloud, up=up)

    def _log(self, name: str) -> Path:
        return self.file.directory / f"{name}.log"


def _hypervisor(plan: Topology, image: Path | None) -> Hypervisor | None:
    """Find out how virtual machines run best here; None where the topology has none."""
    if not plan.virtual:
        return None
    if image is None:
        raise InvalidInput("the topology has virtual machines, and no image's disk is given", hint="give its qcow2")
    fastest = accelerator.best()
    return Hypervisor(
        image=image.resolve(strict=True), accelerator=fastest.accel_small, cpu=fastest.cpu, cpus=fastest.cpus
    )


def _discard(machine: Machine) -> None:
    cgroup.remove(machine.place.group)
    leftovers.remove_directory(machine.place.directory)
