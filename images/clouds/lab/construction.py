"""How a lab's clouds are built on this machine, and how all that was made of a lab is removed."""

import contextlib
import secrets
import shutil
import string
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from images import accelerator
from images.clouds.lab import access, cgroup, leftovers, network, preflight, topology_check
from images.clouds.lab.qemu import Hypervisor
from images.clouds.lab.state import Phase, State, StateFile, check_run_id, labs_directory
from images.clouds.lab.topology import Topology
from larva.errors import Conflict, InvalidInput, NotFound

CGROUP = "larva-lab"


def build(plan: Topology, tree: Path, run_id: str | None, *, image: Path | None) -> StateFile:
    """Build the clouds; no host runs yet.

    Args:
        plan: what the lab looks like.
        tree: the image's root tree, for light machines.
        run_id: part of every name; drawn without one.
        image: the image's disk, for virtual machines.

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
    file = _reserve(run_id)
    leased = (tree, *([hypervisor.image] if hypervisor else []))
    try:
        with file.locked():
            _make(
                file,
                State(
                    run_id=file.run_id, created_at=datetime.now(UTC), phase=Phase.CREATING, topology=plan, tree=tree,
                    data=data_root / file.run_id, cgroup=cgroup.hierarchy() / CGROUP / file.run_id,
                    leases=leftovers.leases_on(leased, file.run_id), hypervisor=hypervisor,
                ),
            )  # fmt: skip
    except BaseException:
        remove(file)
        raise
    return file


def remove(file: StateFile) -> None:
    """Remove all that was made, however far that came; nothing happens when there is no such lab.

    Processes are found by the lab's cgroup and namespaces by its run id, so none of another lab is touched.
    """
    with contextlib.suppress(NotFound), file.locked():
        state = None
        with contextlib.suppress(NotFound):
            state = file.load()
            file.save(replace(state, phase=Phase.DESTROYING))
        if state is not None:
            cgroup.remove(state.cgroup)
        for name in network.existing(f"{network.PREFIX}{file.run_id}-"):
            network.remove_namespace(name)
        if state is not None:
            leftovers.remove_directory(state.data)
            for lease in state.leases:
                lease.unlink(missing_ok=True)
        shutil.rmtree(file.directory)


def _reserve(run_id: str | None) -> StateFile:
    """Take a run id for one lab alone: whoever makes the directory has it."""
    labs_directory().mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        file = StateFile(run_id or "".join(secrets.choice(string.ascii_lowercase) for _ in range(5)))
        try:
            file.directory.mkdir(mode=0o700)
        except FileExistsError as error:
            if run_id is not None:
                raise Conflict(
                    f"the run id {run_id} is taken",
                    hint=f"end that lab with `larva demo down --run {run_id}`, or choose another id with --run",
                ) from error
        else:
            return file


def _make(file: StateFile, state: State) -> None:
    file.save(state)  # first: whoever removes the lab learns from it what may be there
    leftovers.remove_directory(state.data)  # of a lab of that name before a reboot
    state.data.mkdir(mode=0o700)
    owner = leftovers.Owner(run_id=file.run_id, directory=file.directory)
    leftovers.mark(state.data / leftovers.OWNER, owner)
    for lease in state.leases:
        leftovers.mark(lease, owner)
    state.cgroup.mkdir(parents=True)
    access.make_key(file.directory, comment=f"lab {file.run_id}")
    names = network.Names(file.run_id)
    for name in names.lasting(state.topology):
        network.add_namespace(name)
    network.build(names, state.topology)
    file.save(replace(state, phase=Phase.UP))


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
