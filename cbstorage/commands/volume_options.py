"""What the commands of volumes have in common."""

import click

from cbstorage.wanted import cluster
from cladnet import networks
from cladnet.etcd.store import Store

GROUP = click.option("--group", metavar="CLADNET", help="Id or name; not needed while there is one storage cluster.")
WAIT = click.option("--wait", "wait_s", type=float, default=0.0, help="Seconds to wait until it is done.")


def group_of(store: Store, group: str | None) -> str:
    """The id of the CLADNet that was named, or of the only one with a storage cluster."""
    return networks.find(store, group).id if group else cluster.only_group(store)
