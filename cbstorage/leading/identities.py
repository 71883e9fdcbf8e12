"""Cephx identities that were handed out and are taken away again."""

import logging
from collections.abc import Callable

from cbstorage.ceph.monitor import Monitors
from cbstorage.model import SealedKeys
from cladnet.etcd.store import Versioned
from larva.errors import NotFound

log = logging.getLogger(__name__)


def remove(monitors: Monitors, given: Versioned[SealedKeys], may: Callable[[str], bool]) -> list[str]:
    """Remove the identities whose keys a sealed value holds, and return them; their sessions live on.

    Args:
        may: whether an identity is one that this value can be of: what stands in etcd may name any.
    """
    removed = []
    for one in given.value.keys:
        if not may(one.entity):
            log.warning("%s is not taken back: %s names it", one.entity, given.key)
            continue
        try:
            monitors.run("auth rm", entity=one.entity)
        except NotFound:
            log.debug("%s was gone already", one.entity)
        removed.append(one.entity)
    return removed
