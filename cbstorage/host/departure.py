"""A storage host that is of the cluster's CLADNet no more: its daemons stop, and keys that open more than its data go.

The data of its OSDs and its monitor stays: who leaves by mistake comes back with it.
"""

import logging
import shutil
from collections.abc import Collection

from cbstorage.ceph import conf
from cbstorage.host import claim, dmcrypt, local, systemd
from cbstorage.model import DaemonKind
from larva.errors import LarvaError

log = logging.getLogger(__name__)


def depart(groups: Collection[str]) -> None:
    """End what this host runs for a cluster whose CLADNet is none of `groups`; nothing on any other host."""
    served = claim.current()
    if served is None or served.group in groups:
        return
    for kind in DaemonKind:
        for name in local.prepared(kind):
            try:
                if systemd.running(local.unit(kind, name)):
                    systemd.stop(local.unit(kind, name))
                    log.info("stopped %s %s: this host left CLADNet %s", kind, name, served.group)
            except LarvaError as error:  # the others have to stop all the same
                log.warning("%s", error.message)
    try:
        dmcrypt.close_all()
    except LarvaError as error:  # its OSD did not stop
        log.warning("%s", error.message)
    for kind in (DaemonKind.MGR, DaemonKind.MDS):
        for name in local.prepared(kind):
            shutil.rmtree(local.data_directory(kind, name), ignore_errors=True)
    for keyring in conf.DIRECTORY.glob("ceph.client.*.keyring"):
        keyring.unlink(missing_ok=True)
