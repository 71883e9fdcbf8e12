"""`larva volume snapshot` and `larva volume schedule`: a volume as it was once."""

import click

from cbstorage.commands.volume_options import GROUP, WAIT, group_of
from cbstorage.volume_model import SnapshotSchedule
from cbstorage.wanted import snapshots
from cladnet.commands.enrol import duration_s
from cladnet.etcd.store import Store
from larva import codec, output
from larva.errors import InvalidInput


@click.group()
def snapshot() -> None:
    """A volume as it was once; whoever has it mounted finds it in the hidden directory .snap too."""


@snapshot.command()
@click.argument("volume")
@click.argument("name", required=False)
@GROUP
@WAIT
@output.json_option
def create(*, volume: str, name: str | None, group: str | None, wait_s: float, as_json: bool) -> None:
    """Make a snapshot of VOLUME, called NAME or by the time."""
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        wish = snapshots.create(store, chosen, volume, name)
        if wait_s > 0:
            snapshots.wait_made(store, chosen, volume, wish.name, timeout_s=wait_s)
        else:
            output.note("a storage host makes it in a moment: what is written until then is in it, too (--wait waits)")
    if as_json:
        output.show_json(codec.to_builtins(wish))
        return
    click.echo(wish.name)


@snapshot.command("list")
@click.argument("volume")
@GROUP
@output.json_option
def list_snapshots(*, volume: str, group: str | None, as_json: bool) -> None:
    """List the snapshots of VOLUME, the oldest first."""
    with Store.of_this_host() as store:
        found = snapshots.list_all(store, group_of(store, group), volume)
    if as_json:
        output.show_json(codec.to_builtins(found))
        return
    if found.schedule is not None:
        click.echo(_words(found.schedule))
    output.show_table(
        ["snapshot", "asked for", "state", "by"],
        [
            [one.name, f"{one.asked_at:%Y-%m-%d %H:%M:%S}", one.phase, "schedule" if one.scheduled else "hand"]
            for one in found.snapshots
        ],
        empty="no snapshots yet",
    )


@snapshot.command()
@click.argument("volume")
@click.argument("name")
@GROUP
@WAIT
def delete(*, volume: str, name: str, group: str | None, wait_s: float) -> None:
    """Remove the snapshot NAME of VOLUME; the volume stays as it is."""
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        snapshots.delete(store, chosen, volume, name)
        if wait_s > 0:
            snapshots.wait_gone(store, chosen, volume, name, timeout_s=wait_s)


@click.command()
@click.argument("volume")
@click.option("--every", metavar="TIME", help="As 15m, 1h, 1d.")
@click.option("--keep", type=int, default=24, show_default=True, help="How many of them stay.")
@click.option("--off", is_flag=True, help="Make no more; those that are there stay.")
@GROUP
def schedule(*, volume: str, every: str | None, keep: int, off: bool, group: str | None) -> None:
    """Make snapshots of VOLUME from time to time."""
    if off == bool(every):
        raise InvalidInput("say either --every TIME or --off")
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        if every:
            every_s = int(duration_s(every))
            click.echo(_words(snapshots.schedule(store, chosen, volume, every_s=every_s, keep=keep)))
        else:
            snapshots.unschedule(store, chosen, volume)


def _words(schedule: SnapshotSchedule) -> str:
    hours, minutes = divmod(schedule.every_s // 60, 60)
    every = f"{hours} h" if not minutes else f"{hours * 60 + minutes} min"
    return f"a snapshot every {every}; the last {schedule.keep} stay"
