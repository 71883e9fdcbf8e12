"""`larva volume clone` and `larva volume restore`: a volume filled from a snapshot."""

import click

from cbstorage.commands.volume_options import GROUP, WAIT, group_of
from cbstorage.wanted import copies, sizes, volumes
from cladnet.etcd.store import Store
from larva import codec, output


@click.command()
@click.argument("volume", metavar="NAME[@SNAPSHOT]")
@click.argument("new")
@click.option("--size", help="Its quota; as NAME's without it.")
@GROUP
@WAIT
@output.json_option
def clone(*, volume: str, new: str, size: str | None, group: str | None, wait_s: float, as_json: bool) -> None:
    """Make the volume NEW, with all that NAME holds, or held when SNAPSHOT was made."""
    name, _, snapshot = volume.partition("@")
    size_bytes = sizes.parse(size) if size else None
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        copies.clone(store, chosen, name, new, snapshot=snapshot or None, size_bytes=size_bytes)
        _finish(store, chosen, new, wait_s=wait_s, as_json=as_json)


@click.command()
@click.argument("name")
@click.option("--snapshot", required=True, help="What it shall be again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Unmount it everywhere first; mount it again afterwards.")
@GROUP
@WAIT
@output.json_option
def restore(
    *, name: str, snapshot: str, yes: bool, force: bool, group: str | None, wait_s: float, as_json: bool
) -> None:
    """Make the volume NAME again what it was; what it is now stays as another snapshot."""
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        if not yes:
            click.confirm(f"Put {name} back to {snapshot}?", abort=True)
        before = copies.restore(store, chosen, name, snapshot, force=force)
        output.note(f"what {name} holds now stays as its snapshot {before}")
        if force:
            output.note(f"{name} is mounted nowhere now: larva volume mount {name} … when it is ready")
        _finish(store, chosen, name, wait_s=wait_s, as_json=as_json)


def _finish(store: Store, group: str, name: str, *, wait_s: float, as_json: bool) -> None:
    if wait_s > 0:
        volumes.wait_ready(store, group, name, timeout_s=wait_s)
    view = volumes.find(store, group, name)
    if as_json:
        output.show_json({**codec.to_builtins(view), "status": view.status})
    else:
        click.echo(f"volume {view.name}: {view.status}")
