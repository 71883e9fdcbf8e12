"""`larva storage osd`: the daemons that hold the data, one by one."""

import click

from cbstorage.osd_model import OsdGoal, OsdPhase, OsdProgress, OsdWish
from cbstorage.reach import TABLE
from cbstorage.wanted import osd_additions, osds, sizes
from cbstorage.wanted.osds import OsdView
from cladnet.etcd.store import Store
from cladnet.reach.system import Reach, reaching
from larva import codec, output
from larva.errors import InvalidInput

_GROUP = click.option("--group", metavar="CLADNET", help="Id or name; not needed while there is one storage cluster.")
_OSD = click.argument("osd_id", metavar="OSD")
_ENCRYPT = click.option("--encrypt", is_flag=True, help="Encrypt what the OSD writes on the device (dm-crypt).")
_ENCRYPT_OR_NOT = click.option(
    "--encrypt/--clear", default=None, help="Encrypt what the OSD writes on the device, or do not; as before without."
)
_WAIT = click.option("--wait", "wait_s", type=float, default=0.0, help="Seconds to wait until it is done.")


@click.group()
def osd() -> None:
    """The daemons that hold the data."""


@osd.command("list")
@_GROUP
@output.json_option
@reaching(TABLE)
def list_osds(reach: Reach, *, group: str | None, as_json: bool) -> None:
    """List the OSDs with their addresses, and what is being done with them."""
    with reach() as system:
        found = system(osds.views, group)
    if as_json:
        output.show_json([_as_json(view) for view in found])
    else:
        show(found)


@osd.command()
@click.argument("host", metavar="HOST")
@click.argument("device", metavar="DEVICE")
@_GROUP
@click.option("--size", metavar="SIZE", help="Of a file that is not there yet (8G, or what `init` was told).")
@click.option("--destroy-data", metavar="DEVICE", help="What DEVICE holds may go; name it again.")
@_ENCRYPT
@_WAIT
@output.json_option
def add(
    *, host: str, device: str, group: str | None, size: str | None, destroy_data: str | None, encrypt: bool,
    wait_s: float, as_json: bool,
) -> None:  # fmt: skip
    """Make an OSD on a block device of a storage host, or on a file, which is made if it is not there.

    A device that holds anything is refused, unless --destroy-data names it.
    """
    _check_destroy(device, destroy_data)
    size_bytes = sizes.parse(size) if size else None
    with Store.of_this_host() as store:
        addition = osd_additions.add(
            store, host, device, size_bytes=size_bytes, destroy_data=destroy_data is not None, encrypt=encrypt,
            cladnet=group,
        )  # fmt: skip
        added = osd_additions.wait(store, addition, timeout_s=wait_s)
    if as_json:
        output.show_json(added)
    elif added.osd is not None and added.osd.up:
        click.echo(f"osd.{added.osd.id} on {device} of {host} is up")
    else:
        click.echo(f"an OSD on {device} of {host} is being made; `larva storage osd list` shows how it is")


@osd.command()
@_OSD
@_GROUP
@_WAIT
@output.json_option
def drain(*, osd_id: str, group: str | None, wait_s: float, as_json: bool) -> None:
    """Move everything that an OSD holds to others; it stays, and is given nothing.

    Refused where the others have no room for it.
    """
    with Store.of_this_host() as store:
        wish = osds.ask(store, number(osd_id), OsdGoal.DRAINED, cladnet=group)
        _finish(wish, osds.wait(store, wish, timeout_s=wait_s), as_json=as_json)


@osd.command()
@_OSD
@_GROUP
@output.json_option
def undrain(*, osd_id: str, group: str | None, as_json: bool) -> None:
    """Take back that an OSD is to be drained or removed; it gets its data again."""
    osd = number(osd_id)
    with Store.of_this_host() as store:
        osds.take_back(store, osd, cladnet=group)
    if as_json:
        output.show_json({"osd": osd})
    else:
        click.echo(f"osd.{osd} gets its data again")


@osd.command()
@_OSD
@_GROUP
@click.option("--lost", is_flag=True, help="It will never come back: do without what only it holds.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_WAIT
@output.json_option
def remove(*, osd_id: str, group: str | None, lost: bool, yes: bool, wait_s: float, as_json: bool) -> None:
    """Drain an OSD, take it out of the cluster, and delete its data on its host.

    Nothing is deleted before the OSD itself says that it is empty. With --lost it is not asked: that is refused while
    any data would be left with fewer copies than its pool needs, as far as can be known.
    """
    osd = number(osd_id)
    if not yes:
        click.confirm(f"Remove osd.{osd} and what its device holds?", abort=True)
    with Store.of_this_host() as store:
        wish = osds.ask(store, osd, OsdGoal.REMOVED, lost=lost, cladnet=group)
        _finish(wish, osds.wait(store, wish, timeout_s=wait_s), as_json=as_json)


@osd.command()
@_OSD
@click.argument("device", metavar="DEVICE")
@_GROUP
@click.option("--size", metavar="SIZE", help="Of a file that is not there yet.")
@click.option("--destroy-data", metavar="DEVICE", help="What DEVICE holds may go; name it again.")
@_ENCRYPT_OR_NOT
@click.option("--lost", is_flag=True, help="Its present device will never come back.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_WAIT
@output.json_option
def replace(
    *, osd_id: str, device: str, group: str | None, size: str | None, destroy_data: str | None, encrypt: bool | None,
    lost: bool, yes: bool, wait_s: float, as_json: bool,
) -> None:  # fmt: skip
    """Make an OSD anew on another device of its host, under the same number.

    It is drained first; with --lost it is not, and what --lost means for `remove` holds. In the place of an encrypted
    OSD comes an encrypted one; where its host does not tell, --encrypt or --clear has to.
    """
    osd = number(osd_id)
    _check_destroy(device, destroy_data)
    if not yes:
        click.confirm(f"Replace osd.{osd} and delete what its device holds?", abort=True)
    with Store.of_this_host() as store:
        wish = osds.replace(
            store, osd, device, size_bytes=sizes.parse(size) if size else None, destroy_data=destroy_data is not None,
            encrypt=encrypt, lost=lost, cladnet=group,
        )  # fmt: skip
        _finish(wish, osds.wait(store, wish, timeout_s=wait_s), as_json=as_json)


def _check_destroy(device: str, destroy_data: str | None) -> None:
    if destroy_data is not None and destroy_data != device:
        raise InvalidInput(
            f"--destroy-data names {destroy_data[:80]}, not {device[:80]}", hint="name the same device twice"
        )


def number(text: str) -> int:
    """Return the id in `3` or `osd.3`; InvalidInput if there is none."""
    digits = text.removeprefix("osd.")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 7):
        raise InvalidInput(f"{text[:40]!r} is no OSD", hint="give its number, as 3 or osd.3; larva storage osd list")
    return int(digits)


def show(found: tuple[OsdView, ...]) -> None:
    """Print OSDs as a table."""
    output.show_table(
        ["osd", "host", "up", "in", "addresses", "on the CLADNet", "device", "encrypted", "doing"],
        [_row(view) for view in found],
        empty="no OSD yet",
    )


_ENCRYPTED = {True: "yes", False: "no", None: ""}


def _row(view: OsdView) -> list[str]:
    state = view.state
    told = (
        ["gone", "", "", ""]
        if state is None
        else [
            "up" if state.up else "down", "in" if state.is_in else "out", " ".join(map(str, state.addresses)),
            "yes" if state.on_cladnet else "NO",
        ]
    )  # fmt: skip
    return [f"osd.{view.id}", view.host, *told, view.device, _ENCRYPTED[view.encrypted], view.words]


def _as_json(view: OsdView) -> dict[str, object]:
    state = codec.to_builtins(view.state) if view.state is not None else {"id": view.id, "up": False, "is_in": False}
    return {
        **state, "host": view.host, "device": view.device, "encrypted": view.encrypted, "wish": view.wish,
        "progress": view.progress, "doing": view.words,
    }  # fmt: skip


def _finish(wish: OsdWish, progress: OsdProgress | None, *, as_json: bool) -> None:
    if as_json:
        output.show_json({"wish": wish, "progress": progress})
        return
    if progress is None or progress.phase in osds.ENOUGH[wish.goal]:
        rest = f"; {progress.words}" if progress is not None and progress.phase is OsdPhase.GONE else ""
        click.echo(f"osd.{wish.osd} is {wish.goal}{rest}")
    else:
        click.echo(f"osd.{wish.osd}: {progress.phase}; `larva storage osd list` shows how far it is")
