"""A host that is taken out of the system by somebody else."""

from cladnet.enrol import enrolment, membership
from cladnet.enrol.enrolment import TokenView
from cladnet.etcd.store import Store
from larva.errors import Conflict


def expel(store: Store, host: str) -> TokenView | None:
    """Take a host out of the system and of its CLADNets, and return the token by which it came if that is still good.

    The controller, watching, makes its certificates useless.

    Raises:
        NotFound: there is no such host.
        Conflict: it is a control node, or somebody else keeps changing it.
    """
    if any(node.host == host for node in enrolment.control_plane(store).nodes):
        raise Conflict(f"{host} is a control node", hint=f"use `larva control remove {host}`")
    token = enrolment.token_of(store, host)
    membership.remove_host(store, host)
    return token
