"""`larva storage check`: whether this host's daemons can speak with all others, and what to do where they cannot."""

import click

from cbstorage import view
from cbstorage.ceph import cephx
from cbstorage.ceph.answers import OsdMap
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import claim, local, peers, preflight
from cbstorage.host.peers import Finding
from cladnet.etcd.store import Store
from cladnet.member import Member
from larva import output
from larva.errors import ExitCode, NotFound, Unavailable
from larva.process import require_root


@click.command()
@output.json_option
@click.pass_context
def check(context: click.Context, *, as_json: bool) -> None:
    """Try what Ceph needs from this storage host: whole packets, every monitor's and OSD's port, clocks.

    It ends with 69 if anything is wrong.
    """
    require_root("asking the monitors")
    found = _find()
    if as_json:
        output.show_json(found)
    else:
        output.show_table(
            ["", "what", "found", "do"],
            [["ok" if one.ok else "WRONG", one.about, one.words, one.remedy] for one in found],
            empty="there is nobody else yet",
        )
    if not all(one.ok for one in found):
        context.exit(ExitCode.UNAVAILABLE)


def _find() -> list[Finding]:
    served = claim.current()
    if served is None:
        raise NotFound("this host serves no storage cluster", hint="run this on a storage host: larva storage osd list")
    host = Member.load().host
    with Store.of_this_host() as store:
        seen = view.read(store, served.group)
    own = seen.address(host) if seen is not None else None
    if seen is None or own is None:
        raise Unavailable("this host has no address in the CLADNet", hint="`larva net hosts` says why")
    links = preflight.links()
    if problem := preflight.check(links, address=own, cidr=seen.specification.cidr):
        return [Finding(about=f"address {own}", ok=False, words=problem.found, remedy=problem.remedy)]
    mtu = next(link.mtu for link in links if any(one.ip == own for one in link.addresses))
    osd_map, time_sync = _ask(host)
    return peers.check(
        own, mtu, peers.targets(seen.monitors(), osd_map), time_sync, reach=preflight.reach, passes=peers.passes
    )


def _ask(host: str) -> tuple[OsdMap, peers.TimeSync]:
    """What the monitors know; nothing where they do not answer, which the ports say then."""
    entity = next((one for one in (cephx.ADMIN, cephx.storage_host(host)) if local.keyring_of(one).exists()), None)
    if entity is None:
        return OsdMap(osds=(), pools=()), peers.TimeSync()
    try:
        with Monitors(local.CONFIGURATION, entity=entity, keyring=local.keyring_of(entity)) as monitors:
            return monitors.ask("osd dump", OsdMap), monitors.ask("time-sync-status", peers.TimeSync)
    except Unavailable:
        return OsdMap(osds=(), pools=()), peers.TimeSync()
