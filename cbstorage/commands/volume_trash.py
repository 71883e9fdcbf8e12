"""`larva volume delete`, and the way back: the trash."""

import click

from cbstorage.commands.volume_options import GROUP, WAIT, group_of
from cbstorage.reach import TABLE
from cbstorage.wanted import sizes, volumes
from cbstorage.wanted import trash as trashcan
from cladnet.commands.enrol import duration_s
from cladnet.reach.system import Reach, reaching
from larva import codec, output


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Take it away from the hosts that have it mounted first.")
@click.option("--keep", default="7d", show_default=True, help="How long it can be taken back; 0s destroys it at once.")
@GROUP
@WAIT
@reaching(TABLE)
def delete(reach: Reach, *, name: str, yes: bool, force: bool, keep: str, group: str | None, wait_s: float) -> None:
    """Delete the volume NAME: it goes into the trash, from which `larva volume undelete` takes it back."""
    keep_s = int(duration_s(keep))
    with reach() as system:
        chosen = system(group_of, group)
        view = system(volumes.find, chosen, name)
        if not yes:
            end = f"It can be taken back for {keep}." if keep_s else "There is no way back."
            click.confirm(f"Delete {name} and the {sizes.show(view.used_bytes)} in it? {end}", abort=True)
        system(volumes.delete, chosen, name, force=force, keep_s=keep_s)
        if wait_s > 0:
            system(volumes.wait_deleted, chosen, name, timeout_s=wait_s)
            if keep_s == 0:
                system(trashcan.wait_purged, chosen, view.id, timeout_s=wait_s)


@click.group()
def trash() -> None:
    """Deleted volumes that can still be taken back."""


@trash.command("list")
@GROUP
@output.json_option
@reaching(TABLE)
def list_trash(reach: Reach, *, group: str | None, as_json: bool) -> None:
    """List what is in the trash."""
    with reach() as system:
        found = system(trashcan.list_all, system(group_of, group))
    if as_json:
        output.show_json([codec.to_builtins(view) for view in found])
        return
    output.show_table(
        ["volume", "id", "size", "used", "deleted", "can be taken back for"],
        [
            [
                view.name, view.id, sizes.show(view.size_bytes), sizes.show(view.used_bytes),
                f"{view.deleted_at:%Y-%m-%d %H:%M}", "being destroyed" if view.purging else _span(view.remaining_s),
            ]
            for view in found
        ],
        empty="the trash is empty",
    )  # fmt: skip


@click.command()
@click.argument("wanted", metavar="NAME|ID")
@click.option("--as", "name", help="Another name, where the old one is in use again.")
@GROUP
@WAIT
@output.json_option
@reaching(TABLE)
def undelete(reach: Reach, *, wanted: str, name: str | None, group: str | None, wait_s: float, as_json: bool) -> None:
    """Take a volume back from the trash, with all that was in it."""
    with reach() as system:
        chosen = system(group_of, group)
        back = system(trashcan.undelete, chosen, wanted, name=name)
        if wait_s > 0:
            system(volumes.wait_ready, chosen, back.name, timeout_s=wait_s)
        view = system(volumes.find, chosen, back.name)
    if as_json:
        output.show_json({**codec.to_builtins(view), "status": view.status})
        return
    click.echo(f"volume {view.name} is back: {view.status}")


@click.command()
@click.argument("wanted", metavar="NAME|ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@GROUP
@WAIT
@reaching(TABLE)
def purge(reach: Reach, *, wanted: str, yes: bool, group: str | None, wait_s: float) -> None:
    """Destroy a volume in the trash now."""
    with reach() as system:
        chosen = system(group_of, group)
        if not yes:
            click.confirm(f"Destroy {wanted}? There is no way back.", abort=True)
        view = system(trashcan.purge, chosen, wanted)
        if wait_s > 0:
            system(trashcan.wait_purged, chosen, view.id, timeout_s=wait_s)


def _span(seconds: int) -> str:
    """A time for people, rounded down."""
    for unit, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {word}"
    return f"{seconds} s"
