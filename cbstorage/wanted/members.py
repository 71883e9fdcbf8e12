"""The hosts of a CLADNet, as somebody names them."""

from collections.abc import Collection, Sequence

from cladnet.etcd.store import Store
from cladnet.keys import hosts_of
from cladnet.model import HostNetworkInformation
from larva.errors import InvalidInput, NotFound

MOST_NAMED = 100
"""Keys of one transaction: etcd takes 128 operations unless it is told otherwise (`--max-txn-ops`)."""


def hosts(store: Store, group: str) -> set[str]:
    """The hosts that are in a group now."""
    return {item.value.host for item in store.list(hosts_of(group), HostNetworkInformation).items}


def require(group: str, named: Sequence[str], known: Collection[str], *, purpose: str, otherwise: str) -> list[str]:
    """Return the hosts that were named, each once.

    Args:
        known: those of the group.
        purpose: what for, after "no host".
        otherwise: what to do where they are too many.

    Raises:
        InvalidInput: none is named, or too many are.
        NotFound: one of them is not in the group.
    """
    once = list(dict.fromkeys(named))
    if not once:
        raise InvalidInput(f"no host {purpose}", hint=f"larva net hosts {group}")
    if len(once) > MOST_NAMED:
        raise InvalidInput(
            f"{len(once)} hosts are too many to be named at once", hint=f"name {MOST_NAMED}, or {otherwise}"
        )
    if missing := [host for host in once if host not in known]:
        raise NotFound(
            f"CLADNet {group} has no host {', '.join(missing)}",
            hint=f"its hosts: {', '.join(sorted(known)) or 'none'}; a host of another CLADNet can be in this one too: "
            f"larva net join {group} {missing[0]}",
        )
    return once
