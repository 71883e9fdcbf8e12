"""`larva volume snapshot` and `larva volume schedule`: a volume as it was once."""

import click

from cbstorage.commands.volume_options import GROUP, WAIT, group_of
from cbstorage.reach import TABLE
from cbstorage.volume_model import SnapshotSchedule
from cbstorage.wanted import snapshots
from cladnet.commands.enrol import duration_s
from cladnet.reach.system import Reach, reaching
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
@reaching(TABLE)
def create(reach: Reach, *, volume: str, name: str | None, group: str | None, wait_s: float, as_json: bool) -> None:
    """Make a snapshot of VOLUME, called NAME or by the time."""
    with reach() as system:
        chosen = system(group_of, group)
        wish = system(snapshots.create, chosen, volume, name)
        if wait_s > 0:
            system(snapshots.wait_made, chosen, volume, wish.name, timeout_s=wait_s)
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
@reaching(TABLE)
def list_snapshots(reach: Reach, *, volume: str, group: str | None, as_json: bool) -> None:
    """List the snapshots of VOLUME, the oldest first."""
    with reach() as system:
        found = system(snapshots.list_all, system(group_of, group), volume)
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
@reaching(TABLE)
def delete(reach: Reach, *, volume: str, name: str, group: str | None, wait_s: float) -> None:
    """Remove the snapshot NAME of VOLUME; the volume stays as it is."""
    with reach() as system:
        chosen = system(group_of, group)
        system(snapshots.delete, chosen, volume, name)
        if wait_s > 0:
            system(snapshots.wait_gone, chosen, volume, name, timeout_s=wait_s)


@click.command()
@click.argument("volume")
@click.option("--every", metavar="TIME", help="As 15m, 1h, 1d.")
@click.option("--keep", type=int, default=24, show_default=True, help="How many of them stay.")
@click.option("--off", is_flag=True, help="Make no more; those that are there stay.")
@GROUP
@reaching(TABLE)
def schedule(reach: Reach, *, volume: str, every: str | None, keep: int, off: bool, group: str | None) -> None:
    """Make snapshots of VOLUME from time to time."""
    if off == bool(every):
        raise InvalidInput("say either --every TIME or --off")
    with reach() as system:
        chosen = system(group_of, group)
        if every:
            every_s = int(duration_s(every))
            click.echo(_words(system(snapshots.schedule, chosen, volume, every_s=every_s, keep=keep)))
        else:
            system(snapshots.unschedule, chosen, volume)


def _words(schedule: SnapshotSchedule) -> str:
    hours, minutes = divmod(schedule.every_s // 60, 60)
    every = f"{hours} h" if not minutes else f"{hours * 60 + minutes} min"
    return f"a snapshot every {every}; the last {schedule.keep} stay"
