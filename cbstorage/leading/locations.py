"""Where hosts stand in the CRUSH map: moved when their cloud's facts change, so that copies stay apart."""

import logging
from collections.abc import Iterable, Mapping

from cbstorage.ceph.answers import CrushTree
from cbstorage.ceph.crush import Place, known, place
from cbstorage.ceph.monitor import Monitors
from cbstorage.leading import pools
from cbstorage.view import View
from cladnet.model import CloudFacts
from larva.errors import LarvaError, Unavailable

log = logging.getLogger(__name__)


def ensure(monitors: Monitors, seen: View) -> None:
    """Move every host that stands elsewhere than its facts say; one that cannot be moved keeps no other."""
    there = pools.places(monitors.ask("osd tree", CrushTree))
    for to in moves(there, {host: rule.cloud for host, rule in seen.rules.items()}):
        try:
            monitors.run("osd crush move", name=to.host, args=to.location().split()[:-1])
            log.info("host %s moved in the CRUSH map: %s", to.host, to.location())
        except Unavailable:
            raise
        except LarvaError as error:
            log.warning("host %s is not where it should be in the CRUSH map: %s", to.host, error.message)


def moves(there: Iterable[Place], told: Mapping[str, CloudFacts]) -> tuple[Place, ...]:
    """Return where hosts should stand that stand elsewhere; one that tells less than the map knows stays."""
    found = {}
    for old in there:
        new = place(old.host, known(told.get(old.host), old))
        if new != old and told.get(old.host) is not None:
            found[old.host] = new
    return tuple(found[host] for host in sorted(found))
