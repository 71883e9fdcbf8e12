"""`larva storage`: make a storage cluster, look at it, and what the appliance's unit runs."""

import signal
import threading
from types import FrameType

import click

from cbstorage.agent import StorageAgent
from cbstorage.ceph import timing
from cbstorage.commands.check import check
from cbstorage.commands.osd import osd
from cbstorage.commands.place import place
from cbstorage.commands.rotate_keys import rotate_keys, show_keys
from cbstorage.metrics import collectors
from cbstorage.model import Rates
from cbstorage.reach import TABLE
from cbstorage.wanted import cluster, health_words, sizes
from cbstorage.wanted.cluster import ClusterView
from cbstorage.wanted.monitor_plan import MonitorPlan
from cbstorage.wanted.plain import plain
from cladnet.etcd.store import Store
from cladnet.following import FollowingStore
from cladnet.member import Member
from cladnet.placement import words
from cladnet.placement.model import Survive
from cladnet.reach.system import Reach, ReachingGroup, reaching
from larva import codec, metrics_server, output
from larva.errors import InvalidInput
from larva.metrics import REGISTRY
from larva.process import require_root

METRICS = "127.0.0.1:9103"
_GROUP = click.option("--group", metavar="CLADNET", help="Id or name; not needed while there is one storage cluster.")


@click.group(cls=ReachingGroup)
def storage() -> None:
    """One Ceph cluster on the storage hosts of a CLADNet."""


@storage.command()
@click.option("--group", metavar="CLADNET", required=True, help="Id or name.")
@click.option("--mon", "mon_hosts", metavar="HOST", multiple=True, help="Where monitors run: an odd number of hosts.")
@click.option("--mons", "count", type=int, help="How many monitors, an odd number; 3 without it, 5 on as many clouds.")
@click.option(
    "--survive", type=click.Choice([str(each) for each in Survive]),
    help="The widest single failure that monitors have to survive; without it the widest that can be.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say where monitors would run and what they would survive.")
@click.option("--osd-file-size", metavar="SIZE", help="Of OSD devices that are files and not there yet (8G).")
@click.option("--encrypt-osds", is_flag=True, help="Encrypt every OSD on its device (dm-crypt).")
@click.option("--wait", "wait_s", type=float, default=0.0, help="Seconds to wait until volumes can be used.")
@click.option("--osds", type=int, help="With --wait: how many OSDs have to be up and in.")
@output.json_option
def init(
    *,
    group: str,
    mon_hosts: tuple[str, ...],
    count: int | None,
    survive: str | None,
    dry_run: bool,
    osd_file_size: str | None,
    encrypt_osds: bool,
    wait_s: float,
    osds: int | None,
    as_json: bool,
) -> None:
    """Make a storage cluster; its hosts bring it up by themselves.

    Monitors run where placement says, by the hosts' clouds and the last status test (`larva placement`).
    """
    if mon_hosts and (count is not None or survive is not None):
        raise InvalidInput("monitors are named or chosen", hint="give --mon, or --mons and --survive")
    size = sizes.parse(osd_file_size) if osd_file_size else None
    with Store.of_this_host() as store:
        plan = cluster.plan_monitors(
            store, group, mon_hosts=mon_hosts, count=count, survive=Survive(survive) if survive else None
        )
        if dry_run:
            _show_dry_run(plan, as_json=as_json)
            return
        specification = cluster.create(
            store, group, mon_hosts=plan.mon_hosts, osd_file_bytes=size, encrypt_osds=encrypt_osds
        )
        if wait_s > 0:
            with output.step("storage cluster ready"):
                cluster.wait_ready(store, specification.group, timeout_s=wait_s, osds=osds)
    if as_json:
        output.show_json({**codec.to_builtins(specification), "placement": plan})
    else:
        click.echo(f"storage cluster {specification.fsid} on CLADNet {group}")
        click.echo(f"metadata servers: {', '.join(specification.mds_hosts)}")
        _show_plan(plan)


@storage.command()
@_GROUP
@click.option("--wait", "wait_s", type=float, default=0.0, help="Seconds to wait until volumes can be used.")
@click.option("--osds", type=int, help="With --wait: how many OSDs have to be up and in.")
@output.json_option
@reaching(TABLE)
def status(reach: Reach, *, group: str | None, wait_s: float, osds: int | None, as_json: bool) -> None:
    """Show how the storage cluster is: health, quorum, OSDs and whether their addresses lie on the CLADNet."""
    with reach() as system:
        view = system(cluster.find, group)
        if wait_s > 0:
            view = system(cluster.wait_ready, group, timeout_s=wait_s, osds=osds)
    if as_json:
        output.show_json(plain(view))
    else:
        _show(view)


storage.add_command(osd)
storage.add_command(place)
storage.add_command(check)
storage.add_command(rotate_keys)
storage.add_command(show_keys)


@storage.command()
@click.option(
    "--metrics", "metrics_at", default=METRICS, show_default=True, metavar="ADDRESS:PORT",
    help="Where Prometheus reads; off.",
)  # fmt: skip
def agent(*, metrics_at: str) -> None:
    """Run the storage agent of this host: daemons on storage hosts, mounts on every host."""
    require_root("the storage agent")
    stop = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with FollowingStore.of_this_host() as store:
        member = Member.load()
        for collector in collectors(store, member):
            REGISTRY.collect_from(collector)
        with metrics_server.served(metrics_at):
            StorageAgent(store, member).run(stop)


def _show_dry_run(plan: MonitorPlan, *, as_json: bool) -> None:
    if as_json:
        output.show_json({"mon_hosts": plan.mon_hosts, "placement": plan})
    else:
        _show_plan(plan)


def _show_plan(plan: MonitorPlan) -> None:
    found = plan.assessment
    click.echo(f"monitors: {', '.join(plan.mon_hosts)}")
    click.echo(f"  model {int(found.model)}, {found.title}: {plan.why}")
    click.echo(f"  {words.write_cost(found)}")
    click.echo()
    words.show_failures(found.failures)
    words.show_estimated(found.estimated)
    for warning in plan.warnings:
        output.note(f"note: {warning}")


def _show(view: ClusterView) -> None:
    state = view.state
    click.echo(f"storage of CLADNet {view.specification.group}: {cluster.words(state)}")
    if state is not None:
        quorum = f"{len(state.quorum)} of {len(state.monitors)} monitors in quorum ({', '.join(state.quorum)})"
        click.echo(f"  {quorum}")
        click.echo(
            f"  metadata server: {', '.join(state.active_mds) or 'none active'}; standing by: {len(state.standby_mds)}"
        )
        room = f"; volumes can hold {sizes.show(state.room_bytes)} together" if state.room_bytes else ""
        click.echo(f"  {sizes.show(state.used_bytes)} of {sizes.show(state.total_bytes)} used{room}")
        if state.rates is not None:
            click.echo(f"  {_rate_words(state.rates)}")
        click.echo(f"  data: {_data_words(state.clean)}; seen {state.observed_at:%Y-%m-%d %H:%M:%S} UTC")
        if state.round_trip_ms:
            grace = timing.settings(state.round_trip_ms)["osd_heartbeat_grace"]
            click.echo(f"  patience: {grace} s with a silent OSD, for round trips up to {state.round_trip_ms} ms")
        for check in state.checks:
            click.echo(f"  {check.health}: {check.summary} ({check.code})")
            words = health_words.explain(check)
            if words.cause:
                click.echo(f"    {words.cause}")
                click.echo(f"    what to do: {words.remedy}")
        click.echo()
        _show_osds(view)
    for host in view.hosts:
        if host.problem:
            click.echo(f"\n{host.host}: {host.problem}")


def _rate_words(rates: Rates) -> str:
    return (
        f"clients read {sizes.show(rates.read_bytes_s)}/s ({rates.reads_s}/s), "
        f"write {sizes.show(rates.written_bytes_s)}/s ({rates.writes_s}/s); "
        f"copies put in place: {sizes.show(rates.recovered_bytes_s)}/s"
    )


def _data_words(clean: bool | None) -> str:  # noqa: FBT001 - a value to put into words, not a switch
    if clean is None:
        return "not counted, no manager is active"
    return "every copy is in place" if clean else "copies are being put in place"


def _show_osds(view: ClusterView) -> None:
    devices = {daemon.id: daemon.device for host in view.hosts for daemon in host.daemons if daemon.kind == "osd"}
    output.show_table(
        ["osd", "host", "up", "in", "addresses", "on the CLADNet", "device"],
        [
            [
                f"osd.{osd.id}", osd.host, "up" if osd.up else "down", "in" if osd.is_in else "out",
                " ".join(map(str, osd.addresses)), "yes" if osd.on_cladnet else "NO", devices.get(str(osd.id), ""),
            ]
            for osd in (view.state.osds if view.state else ())
        ],
        empty="no OSD yet",
    )  # fmt: skip
