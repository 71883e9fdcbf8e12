"""The founding of a cluster: one transaction writes the first monitor map and the keys, so exactly one host founds."""

import logging
import time
from datetime import UTC, datetime

from cbstorage import keys
from cbstorage.ceph import cephx, sealed_keys
from cbstorage.model import Founding
from cbstorage.view import View
from cladnet.etcd.store import Condition, Put, Store
from larva.errors import Unavailable

log = logging.getLogger(__name__)


def found(store: Store, view: View, host: str) -> bool:
    """Try to found the cluster and return whether this host did; another may have been first.

    Nothing is kept on this host: whoever dies after the transaction, every monitor's host has what it needs.

    Raises:
        Unavailable: a monitor's host has not joined the CLADNet yet.
    """
    wanted = view.specification.mon_hosts
    missing = [name for name in wanted if view.address(name) is None or name not in view.hosts]
    if missing:
        raise Unavailable(
            f"the cluster cannot be founded before {', '.join(missing)} joined the CLADNet",
            hint=f"`larva net hosts {view.group}` shows who joined",
        )
    now = int(time.time())
    identities = [
        cephx.Identity(entity=cephx.MON, key=cephx.new_key(created_s=now)),
        cephx.Identity(entity=cephx.ADMIN, key=cephx.new_key(created_s=now)),
    ]
    founding = Founding(
        founder=host, fsid=view.specification.fsid, monitors=view.monitors(), founded_at=datetime.now(UTC)
    )
    key = keys.founding(view.group)
    sealed = [
        Put(keys.keyring(view.group, name), sealed_keys.seal_keys(view.hosts[name].seal_key, identities))
        for name in wanted
    ]
    won = store.transact([Condition(key, 0)], [Put(key, founding), *sealed])
    if won:
        log.info("founded storage cluster %s with monitors on %s", founding.fsid, ", ".join(wanted))
    return won
