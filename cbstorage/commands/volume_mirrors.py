"""`larva volume mirror`, `mirrors`, `mirror-now`, `unmirror` and `promote`: a volume that follows another elsewhere."""

import click

from cbstorage.commands.volume_options import GROUP, WAIT, group_of
from cbstorage.wanted import mirrors, sizes, volumes
from cbstorage.wanted.mirrors import MirrorView
from cladnet.commands.enrol import duration_s
from cladnet.etcd.store import Store
from cladnet.placement.model import Survive
from larva import codec, output


@click.command()
@click.argument("name")
@click.option("--to", "home", default="", metavar="CSP[/REGION]", help="Where its first copies lie.")
@click.option(
    "--survive", type=click.Choice([each.value for each in Survive]),
    help="The widest single failure its data outlives; without it as NAME's, or a host's.",
)  # fmt: skip
@click.option("--every", default="15m", show_default=True, metavar="TIME", help="What may be lost: 1m, 15m, 1h.")
@click.option("--keep", type=int, default=mirrors.KEEP, show_default=True, help="How many whole states stay.")
@click.option("--as", "new", metavar="NEW", help="Its name; NAME-mirror without it.")
@GROUP
@WAIT
@output.json_option
def mirror(
    *,
    name: str,
    home: str,
    survive: str | None,
    every: str,
    keep: int,
    new: str | None,
    group: str | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Make a volume elsewhere that follows NAME by snapshots, is only read, and takes its place when it is lost."""
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        promise = mirrors.placed(store, chosen, name, survive=survive, home=home)
        made = mirrors.create(
            store, chosen, name, promise, new=new, every_s=int(duration_s(every)), keep=keep
        )  # fmt: skip
        if wait_s > 0:
            mirrors.wait_whole(store, chosen, made.name, timeout_s=wait_s)
        _show(mirrors.find(store, chosen, made.name), as_json=as_json)


@click.command("mirrors")
@GROUP
@output.json_option
def list_mirrors(*, group: str | None, as_json: bool) -> None:
    """List the volumes that follow others, and how far behind they are."""
    with Store.of_this_host() as store:
        found = mirrors.list_all(store, group_of(store, group))
    if as_json:
        output.show_json([codec.to_builtins(view) for view in found])
        return
    output.show_table(
        ["mirror", "of", "every", "state", "behind", "last whole state", "now", "problem"],
        [
            [
                view.name, view.source or f"{view.source_id} (deleted)", output_s(view.every_s), view.status,
                "" if view.lag_s is None else output_s(view.lag_s), f".snap/{view.complete}" if view.complete else "",
                f"{sizes.show(view.copied_bytes)} of {view.copying}" if view.copying else "", view.problem,
            ]
            for view in found
        ],
        empty="no mirrors yet",
    )  # fmt: skip


@click.command("mirror-now")
@click.argument("name")
@GROUP
@WAIT
@output.json_option
def mirror_now(*, name: str, group: str | None, wait_s: float, as_json: bool) -> None:
    """Bring the mirror NAME what its source holds now, whatever its interval."""
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        asked = mirrors.now(store, chosen, name)
        if wait_s > 0:
            mirrors.wait_whole(store, chosen, name, asked=asked, timeout_s=wait_s)
        _show(mirrors.find(store, chosen, name), as_json=as_json)


@click.command()
@click.argument("name")
@GROUP
def unmirror(*, name: str, group: str | None) -> None:
    """Let the mirror NAME follow no longer; it can still be read, promoted or deleted."""
    with Store.of_this_host() as store:
        mirrors.stop(store, group_of(store, group), name)


@click.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Also while it follows a source that is there.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@GROUP
@WAIT
@output.json_option
def promote(*, name: str, force: bool, yes: bool, group: str | None, wait_s: float, as_json: bool) -> None:
    """Make the mirror NAME an ordinary volume, which holds its last whole state and can be written to."""
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        if not yes:
            click.confirm(
                f"{mirrors.find(store, chosen, name).loss}; what came later is not in it. Promote it?", abort=True
            )
        stood = mirrors.promote(store, chosen, name, force=force)
        output.note(stood.loss)
        if wait_s > 0:
            volumes.wait_ready(store, chosen, name, timeout_s=wait_s)
        view = volumes.find(store, chosen, name)
    if as_json:
        output.show_json({**codec.to_builtins(view), "status": view.status, "promoted": codec.to_builtins(stood)})
    else:
        click.echo(f"volume {view.name}: {view.status}")


def output_s(seconds: float) -> str:
    """A time for people: the two largest units."""
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (whole % 60, "s")]
    told = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(told[:2]) or "0 s"


def _show(view: MirrorView, *, as_json: bool) -> None:
    if as_json:
        output.show_json(codec.to_builtins(view))
        return
    click.echo(f"{view.name} follows {view.source}, every {output_s(view.every_s)}: {view.status}")
    click.echo(f"  {view.loss}" + (f": .snap/{view.complete}" if view.complete else ""))
    if view.copying:
        click.echo(f"  {sizes.show(view.copied_bytes)} of {view.copying} are here")
    if view.problem:
        click.echo(f"  {view.problem}")
