"""`larva storage rotate-keys` and `keys`: the cephx keys of hosts, their daemons and their mounts."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from cbstorage.commands.volume_options import GROUP, WAIT, group_of
from cbstorage.rotation_model import RotationScope
from cbstorage.wanted import rotation
from cbstorage.wanted.rotation import KeyView
from cladnet.etcd.store import Store
from larva import codec, output
from larva.errors import InvalidInput


@click.command("rotate-keys")
@click.option("--host", metavar="HOST", help="Every key that this host has: its own, its daemons', its mounts'.")
@click.option("--volume", metavar="NAME", help="The keys by which hosts mount this volume.")
@click.option("--all", "everything", is_flag=True, help="Every key of the storage cluster's hosts.")
@click.option("--remount", is_flag=True, help="Mount volumes anew where nobody uses them, so that old keys end soon.")
@click.option(
    "--now", is_flag=True,
    help="End the old keys at once, and what was opened with them; daemons are restarted one after the other.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@GROUP
@WAIT
@output.json_option
def rotate_keys(
    *,
    host: str | None,
    volume: str | None,
    everything: bool,
    remount: bool,
    now: bool,
    yes: bool,
    group: str | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Replace cephx keys.

    The next key is made beside the present one and sent to its host, which uses it when it mounts or starts the next
    time; the old one is good until then, and nobody notices. Machines outside have keys of their own: `larva volume
    connection NAME --for MACHINE --renew`.
    """
    if [host is not None, volume is not None, everything].count(True) != 1:
        raise InvalidInput("say whose keys: --host HOST, --volume NAME or --all", hint="one of them")
    if now and not yes:
        click.confirm("End what is open by the old keys, and restart daemons?", abort=True)
    scope = RotationScope.HOST if host else RotationScope.VOLUME if volume else RotationScope.ALL
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        wish = rotation.ask(store, chosen, scope, host or volume or "all", now=now, remount=remount)
        found = rotation.wait(store, wish, timeout_s=wait_s) if wait_s > 0 else None
    if as_json:
        output.show_json({"wish": wish, "keys": [_as_json(one) for one in found or ()]})
    elif found is None:
        click.echo("the keys are being replaced; `larva storage keys` shows how far that is")
    else:
        click.echo(outcome(found, whose=f"volume {volume}" if volume else f"host {host}" if host else "the cluster"))


def outcome(found: Sequence[KeyView], *, whose: str) -> str:
    """What became of the keys that were waited for, for people."""
    if not found:
        return f"no host has a key of {whose}, as where nothing is mounted: there is nothing to replace"
    held = [one for one in found if one.waiting]
    used = sum(one.in_use for one in held)
    parts = [f"{len(found) - len(held)} keys are replaced"]
    if used:
        parts.append(f"{used} wait for volumes that are in use")
    if len(held) > used:
        parts.append(f"{len(held) - used} wait for a next mount or start")
    return ", ".join(parts)


@click.command("keys")
@GROUP
@output.json_option
def show_keys(*, group: str | None, as_json: bool) -> None:
    """List the cephx keys that hosts have: how old they are, and how far their replacement is. No key is shown."""
    with Store.of_this_host() as store:
        found = rotation.views(store, group_of(store, group))
    if as_json:
        output.show_json([_as_json(one) for one in found])
        return
    now = datetime.now(UTC)

    def row(one: KeyView) -> list[object]:
        age = output.age((now - one.made_at).total_seconds())
        return [one.entity, " ".join(one.hosts), age, one.number, one.words]

    output.show_table(
        ["identity", "hosts", "age", "replaced", "doing"], [row(one) for one in found], empty="no key yet"
    )  # fmt: skip


def _as_json(one: KeyView) -> object:
    return {**codec.to_builtins(one), "doing": one.words}
