"""`larva agent` and `larva controller`: what the appliance's units run."""

import contextlib
import threading
from collections.abc import Callable
from collections.abc import Set as AbstractSet

import click

from cladnet.commands.agent_status import agent_status
from cladnet.commands.rotate_key import rotate_key
from cladnet.following import FollowingStore
from larva import output, stopping
from larva.errors import InvalidInput, NotFound
from larva.process import require_root

AGENT_METRICS = "127.0.0.1:9101"
CONTROLLER_METRICS = "127.0.0.1:9102"


@click.group(invoke_without_command=True)
@click.option(
    "--metrics",
    "metrics_at",
    default=AGENT_METRICS,
    show_default=True,
    metavar="ADDRESS:PORT",
    help="Where Prometheus reads; off.",
)
@click.option(
    "--rotate-every",
    "rotate_days",
    type=click.FloatRange(min=0.0),
    default=0.0,
    show_default=True,
    metavar="DAYS",
    envvar="LARVA_ROTATE_EVERY",
    help="Replace the WireGuard key at this age; 0: only by `larva agent rotate-key`.",
)
@click.option(
    "--key-settle",
    "settle_s",
    type=click.FloatRange(min=0.0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long peers may know the next key before it is used.",
)
@click.pass_context
def agent(context: click.Context, /, *, metrics_at: str, rotate_days: float, settle_s: float) -> None:
    """Keep this host attached to its CLADNets; the interfaces outlive the agent."""
    if context.invoked_subcommand is not None:
        return
    from cladnet.agent import launch

    require_root("the agent")
    launch.become(launch.Terms(metrics_at=metrics_at, rotate_s=rotate_days * 86_400 or None, settle_s=settle_s))


@click.command()
@click.option(
    "--grace", "grace_s", default=10.0, show_default=True, help="Seconds until a missing host is unreachable."
)
@click.option(
    "--metrics", "metrics_at", default=CONTROLLER_METRICS, show_default=True, metavar="ADDRESS:PORT",
    help="Where Prometheus reads; off.",
)  # fmt: skip
def controller(*, grace_s: float, metrics_at: str) -> None:
    """Give the hosts of every CLADNet addresses and rules; any number of controllers may run."""
    from cladnet.access import revocation
    from cladnet.access.keeper import AccessKeeper  # with the CA's cryptography; other commands need none of it
    from cladnet.access.root import open_root, root_ca
    from cladnet.control.controller import Controller
    from larva import metrics_server

    if grace_s < 0:
        raise InvalidInput(f"a grace of {grace_s:g} s is not possible", hint="give 0 or more")
    stop = stopping.on_signal()
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(FollowingStore.of_this_host())
        revoked: Callable[[], AbstractSet[str]] = frozenset
        try:
            root = stack.enter_context(open_root())
        except NotFound as error:
            output.note(f"who may do what in etcd is left to the control nodes with the CA's key: {error.message}")
        else:
            store.lead(root)
            revocations = revocation.RevocationKeeper(store, root_ca(), revocation.list_file())
            loops, revoked = [AccessKeeper(root).reconciler()], revocations.revoked
            if revocation.list_file().exists():  # etcd runs here and reads it
                loops.append(revocations.reconciler())
            for loop in loops:
                thread = threading.Thread(target=loop.run, args=(stop,))
                thread.start()
                stack.callback(thread.join)
        stack.callback(stop.set)
        stack.enter_context(metrics_server.served(metrics_at))
        Controller(store, grace_s=grace_s, revoked=revoked).run(stop)


agent.add_command(agent_status)
agent.add_command(rotate_key)
