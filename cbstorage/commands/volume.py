"""`larva volume`: make volumes, mount them on hosts, take them away."""

import click

from cbstorage.commands import (
    promise_words,
    volume_connection,
    volume_copies,
    volume_mirrors,
    volume_shares,
    volume_snapshots,
    volume_trash,
)
from cbstorage.commands.volume_options import GROUP, WAIT, group_of
from cbstorage.model import MountPhase
from cbstorage.reach import TABLE
from cbstorage.wanted import mounting, promises, resizing, room, sizes, volumes
from cbstorage.wanted.volumes import VolumeView
from cladnet import networks
from cladnet.placement.model import Survive
from cladnet.reach.system import Reach, ReachingGroup, System, reaching
from larva import codec, output
from larva.errors import InvalidInput

_HOSTS = click.option("--on", "hosts", metavar="HOST", multiple=True, help="A host; may be given several times.")


@click.group(cls=ReachingGroup)
def volume() -> None:
    """Volumes: directories of one POSIX file system that reach every cloud."""


@volume.command()
@click.argument("name")
@click.option("--size", required=True, help="Quota, as 500M, 1G, 2T.")
@click.option(
    "--survive", type=click.Choice([each.value for each in Survive]),
    help="The widest single failure its data outlives, for good; without it as wide as the OSDs allow.",
)  # fmt: skip
@click.option(
    "--home", default="", metavar="CSP[/REGION]", help="Where it is written from: the first copies lie there."
)
@click.option("--yes", is_flag=True, help="Do not show what a promise costs, and do not ask.")
@click.option(
    "--for", "kept_for", metavar="HOST", multiple=True,
    help="A host that may have it, and no others; may be given several times. Without it every host of the CLADNet.",
)  # fmt: skip
@GROUP
@WAIT
@output.json_option
@reaching(TABLE)
def create(
    reach: Reach,
    *,
    name: str,
    size: str,
    survive: str | None,
    home: str,
    yes: bool,
    kept_for: tuple[str, ...],
    group: str | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Make the volume NAME."""
    size_bytes = sizes.parse(size)
    promise = promises.parse(survive, home)
    if promise and as_json and not yes:
        raise InvalidInput("what a promise costs is shown and asked about, which is no JSON", hint="give --yes too")
    with reach() as system:
        chosen = system(group_of, group)
        if promise and not yes:
            system(promises.check, chosen, promise)
            shown = system(promises.preview, chosen, promise.home)
            promise_words.show(shown)
            if warning := promises.unwise(shown.option(promise.survive)):
                output.note(f"note: {warning}")
                output.note(promise_words.mirror_offer(name))
            click.confirm(f"Promise for good that {name} survives: {promise}?", abort=True)
        system(volumes.create, chosen, name, size_bytes, promise, kept_for=kept_for or None)
        if wait_s > 0:
            system(volumes.wait_ready, chosen, name, timeout_s=wait_s)
        _show(system(volumes.find, chosen, name), as_json=as_json)
        _warn(system, chosen)


@volume.command("promises")
@click.option("--home", default="", metavar="CSP[/REGION]", help="Where a volume would be written from.")
@GROUP
@output.json_option
@reaching(TABLE)
def list_promises(reach: Reach, *, home: str, group: str | None, as_json: bool) -> None:
    """List what a volume can be promised to survive, and what a write costs then."""
    with reach() as system:
        found = system(promises.preview, system(group_of, group), home)
    if as_json:
        output.show_json(found)
    else:
        promise_words.show(found)


@volume.command("list")
@GROUP
@output.json_option
@reaching(TABLE)
def list_volumes(reach: Reach, *, group: str | None, as_json: bool) -> None:
    """List the volumes."""
    with reach() as system:
        found = system(volumes.list_all, system(networks.find, group).id if group else None)
    if as_json:
        output.show_json([_plain(view) for view in found])
        return
    output.show_table(
        ["volume", "CLADNet", "size", "used", "status", "mounted on"],
        [
            [
                view.name, view.group, sizes.show(view.size_bytes), sizes.show(view.used_bytes), view.status,
                _where(view),
            ]
            for view in found
        ],
        empty="no volumes yet",
    )  # fmt: skip


@volume.command()
@click.argument("name")
@GROUP
@output.json_option
@reaching(TABLE)
def show(reach: Reach, *, name: str, group: str | None, as_json: bool) -> None:
    """Show the volume NAME and its mounts."""
    with reach() as system:
        _show(system(volumes.find, system(group_of, group), name), as_json=as_json)


@volume.command()
@click.argument("name")
@click.option("--size", required=True, help="The new quota, as 500M, 1G, 2T.")
@click.option("--force", is_flag=True, help="Also below what is in use; then nothing can be written until it is less.")
@GROUP
@WAIT
@output.json_option
@reaching(TABLE)
def resize(reach: Reach, *, name: str, size: str, force: bool, group: str | None, wait_s: float, as_json: bool) -> None:
    """Make the volume NAME larger or smaller, while it is mounted."""
    size_bytes = sizes.parse(size)
    with reach() as system:
        chosen = system(group_of, group)
        system(resizing.resize, chosen, name, size_bytes, force=force)
        if wait_s > 0:
            system(resizing.wait_resized, chosen, name, timeout_s=wait_s)
        _show(system(volumes.find, chosen, name), as_json=as_json)
        _warn(system, chosen)


@volume.command()
@click.argument("name")
@_HOSTS
@click.option(
    "--all", "everywhere", is_flag=True, help="On every host that it is shared with, those too that come later."
)
@click.option("--at", "path", required=True, metavar="PATH", help="Absolute; made where it is not there.")
@click.option("--read-only", is_flag=True, help="Nobody on these hosts can write, whoever they are there.")
@GROUP
@WAIT
@output.json_option
@reaching(TABLE)
def mount(
    reach: Reach,
    *,
    name: str,
    hosts: tuple[str, ...],
    everywhere: bool,
    path: str,
    read_only: bool,
    group: str | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Mount the volume NAME on hosts and keep it mounted, over reboots too."""
    with reach() as system:
        chosen = system(group_of, group)
        where = _hosts(hosts, everywhere=everywhere)
        asked = system(mounting.mount, chosen, name, where, path, read_only=read_only)
        if wait_s > 0:
            system(volumes.wait_mounted, chosen, name, [one.host for one in asked], timeout_s=wait_s)
        _show(system(volumes.find, chosen, name), as_json=as_json)


@volume.command()
@click.argument("name")
@_HOSTS
@click.option("--all", "everywhere", is_flag=True, help="From every host that has it.")
@GROUP
@WAIT
@output.json_option
@reaching(TABLE)
def unmount(
    reach: Reach,
    *,
    name: str,
    hosts: tuple[str, ...],
    everywhere: bool,
    group: str | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Take the volume NAME away from hosts; its data stays."""
    with reach() as system:
        chosen = system(group_of, group)
        asked = system(mounting.unmount, chosen, name, _hosts(hosts, everywhere=everywhere))
        if wait_s > 0:
            system(volumes.wait_unmounted, chosen, name, asked, timeout_s=wait_s)
        _show(system(volumes.find, chosen, name), as_json=as_json)


volume.add_command(volume_connection.connection)
volume.add_command(volume_connection.connections)
volume.add_command(volume_connection.disconnect)
volume.add_command(volume_shares.share)
volume.add_command(volume_shares.unshare)
volume.add_command(volume_shares.shares)
volume.add_command(volume_trash.delete)
volume.add_command(volume_trash.trash)
volume.add_command(volume_trash.undelete)
volume.add_command(volume_trash.purge)
volume.add_command(volume_snapshots.snapshot)
volume.add_command(volume_snapshots.schedule)
volume.add_command(volume_copies.clone)
volume.add_command(volume_copies.restore)
volume.add_command(volume_mirrors.mirror)
volume.add_command(volume_mirrors.list_mirrors)
volume.add_command(volume_mirrors.mirror_now)
volume.add_command(volume_mirrors.unmirror)
volume.add_command(volume_mirrors.promote)


def _hosts(hosts: tuple[str, ...], *, everywhere: bool) -> tuple[str, ...] | None:
    if everywhere == bool(hosts):
        raise InvalidInput("say where: either --on HOST or --all", hint="--on may be given several times")
    return None if everywhere else hosts


def _where(view: VolumeView) -> str:
    if view.everywhere and view.mounts:
        mounted = sum(1 for mount in view.mounts if mount.phase is MountPhase.MOUNTED and not mount.leaving)
        who = "every host" if view.shares is None else "every host it is for"
        return f"{who}:{view.mounts[0].path} ({mounted} of {len(view.mounts)})"
    return " ".join(f"{mount.host}:{mount.path}" for mount in view.mounts)


def _warn(system: System, group: str) -> None:
    if warning := system(room.warning, group):
        output.note(f"note: {warning}")


def _plain(view: VolumeView) -> dict[str, object]:
    return {**codec.to_builtins(view), "status": view.status}


def _show(view: VolumeView, *, as_json: bool) -> None:
    if as_json:
        output.show_json(_plain(view))
        return
    click.echo(f"volume {view.name} of CLADNet {view.group}: {view.status}")
    click.echo(f"  {sizes.show(view.used_bytes)} of {sizes.show(view.size_bytes)} used")
    if view.ready and view.quota_bytes != view.size_bytes:
        click.echo(f"  its quota is {sizes.show(view.quota_bytes)} until it is resized")
    if view.promise:
        click.echo(f"  its data survives: {view.promise}")
    if view.shares is not None:
        click.echo(f"  it is kept for: {volume_shares.words(view.shares)}")
    if view.mirror_of is not None:
        click.echo(f"  it follows {view.mirror_of} and is only read: `larva volume mirrors` says how far it is")
    if view.copied_bytes is not None:
        click.echo(f"  {sizes.show(view.copied_bytes)} copied from a snapshot")
    if view.problem:
        click.echo(f"  {view.problem}")
    if view.mounts:
        output.show_table(
            ["host", "path", "state", "client", "problem"],
            [
                [
                    one.host, f"{one.path} (read only)" if one.read_only else one.path,
                    "leaving" if one.leaving else one.phase, one.client, one.problem,
                ]
                for one in view.mounts
            ],
        )  # fmt: skip
