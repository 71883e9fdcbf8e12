"""Where hosts stand in the CRUSH map: moved when their cloud's facts change, so that copies stay apart."""

import logging
from collections.abc import Iterable, Mapping

from cbstorage.ceph.crush import Place
from cbstorage.ceph.monitor import CrushTree, Monitors
from cbstorage.leading import pools
from cbstorage.view import View
from cladnet.model import CloudFacts
from larva.errors import LarvaError, Unavailable

log = logging.getLogger(__name__)


def ensure(monitors: Monitors, seen: View) -> None:
    """Move every host that stands elsewhere than its facts say; one that cannot be moved keeps no other."""
    there = pools.places(monitors.ask("osd tree", CrushTree))
    clouds = {host: rule.cloud for host, rule in seen.rules.items()}
    for to in moves(there, {host: place for host in clouds if (place := seen.known_place(host))}, clouds):
        try:
            monitors.run("osd crush move", name=to.host, args=to.location().split()[:-1])
            log.info("host %s moved in the CRUSH map: %s", to.host, to.location())
        except Unavailable:
            raise
        except LarvaError as error:
            log.warning("host %s is not where it should be in the CRUSH map: %s", to.host, error.message)


def moves(there: Iterable[Place], wanted: Mapping[str, Place], clouds: Mapping[str, CloudFacts]) -> tuple[Place, ...]:
    """Return where hosts should stand that stand elsewhere.

    A host that tells less than the map knows (its cloud's metadata did not answer) stays: moving it would move data.
    """
    found = {}
    for old in there:
        new = wanted.get(old.host)
        if new is not None and new != old and clouds[old.host].provider and clouds[old.host].region:
            same_region = new.region == old.region
            if not (same_region and old.zone and not clouds[old.host].zone):
                found[old.host] = new
    return tuple(found[host] for host in sorted(found))
