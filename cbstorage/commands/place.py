"""`larva storage place`: where monitors, managers and metadata servers run, changed while the cluster runs."""

import click

from cbstorage.wanted import cluster, placing
from cladnet.etcd.store import Store
from cladnet.placement.model import Survive
from larva import codec, output
from larva.errors import InvalidInput


@click.command()
@click.option("--group", metavar="CLADNET", help="Id or name; not needed while there is one storage cluster.")
@click.option("--mon", "mon_hosts", metavar="HOST", multiple=True, help="Where monitors run: an odd number of hosts.")
@click.option("--mons", "count", type=int, help="How many monitors, an odd number.")
@click.option(
    "--survive", type=click.Choice([str(each) for each in Survive]),
    help="The widest single failure that monitors have to survive; without it the widest that can be.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say where they would run.")
@click.option("--wait", "wait_s", type=float, default=0.0, help="Seconds to wait until they do.")
@output.json_option
def place(
    *, group: str | None, mon_hosts: tuple[str, ...], count: int | None, survive: str | None, dry_run: bool,
    wait_s: float, as_json: bool,
) -> None:  # fmt: skip
    """Move monitors, and what stands beside them, to where placement or --mon says.

    New monitors are in quorum before old ones go, one at a time. It goes on by itself, whoever is restarted.
    """
    if mon_hosts and (count is not None or survive is not None):
        raise InvalidInput("monitors are named or chosen", hint="give --mon, or --mons and --survive")
    with Store.of_this_host() as store:
        found = cluster.find(store, group).specification
        plan = cluster.plan_monitors(
            store, found.group, mon_hosts=mon_hosts, count=count, survive=Survive(survive) if survive else None
        )
        if not dry_run:
            found = placing.place(store, found.group, plan.mon_hosts)
            if wait_s > 0:
                with output.step("monitors placed"):
                    placing.wait(store, found, timeout_s=wait_s)
    if as_json:
        output.show_json({**codec.to_builtins(found), "placement": plan})
        return
    click.echo(f"monitors: {', '.join(plan.mon_hosts)} ({plan.why})")
    for warning in plan.warnings:
        output.note(f"note: {warning}")
