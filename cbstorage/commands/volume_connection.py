"""`larva volume connection`: volumes for machines that do not run the appliance."""

import click

from cbstorage.commands.volume_options import GROUP, WAIT, group_of
from cbstorage.mounting import mount_point
from cbstorage.wanted import connection_words
from cbstorage.wanted import connections as wanted
from cladnet.etcd.store import Store
from larva import codec, output
from larva.errors import InvalidInput


@click.command()
@click.argument("name")
@click.option("--for", "machine", required=True, metavar="MACHINE", help="What to call it, as in a host's name.")
@click.option("--at", "path", metavar="PATH", help="Where it mounts the volume; /mnt/NAME without it.")
@click.option("--read-only", is_flag=True, help="Its key does not let it write.")
@click.option("--renew", is_flag=True, help="It has a key: make another, whose first use ends the present one.")
@click.option("--wait", "wait_s", type=float, default=60.0, show_default=True, help="Seconds to wait for its key.")
@GROUP
@output.json_option
def connection(
    *,
    name: str,
    machine: str,
    path: str | None,
    read_only: bool,
    renew: bool,
    wait_s: float,
    group: str | None,
    as_json: bool,
) -> None:
    """Make a key for a machine outside, and show, this once, how it mounts the volume NAME."""
    place = mount_point.check(path or f"/mnt/{name}")
    if renew and read_only:
        raise InvalidInput("--renew changes no right", hint="larva volume disconnect, then connect anew")
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        if renew:
            ticket = wanted.renew(store, chosen, name, machine, timeout_s=wait_s)
        else:
            ticket = wanted.connect(store, chosen, name, machine, read_only=read_only, timeout_s=wait_s)
    words = connection_words.words(ticket, place)
    if as_json:
        output.show_json({**codec.to_builtins(words), "entity": ticket.identity.entity, "key": ticket.identity.key})
        return
    output.note(f"Shown only now. {machine} has to reach the CLADNet's addresses, as a member of it or routed to it.")
    click.echo(f"# On {machine}, as root; with the kernel's client (Linux 5.17 or later, package ceph-common):")
    click.echo(words.commands)
    click.echo("# or with ceph-fuse:")
    click.echo(words.fuse_commands)
    click.echo("# At every boot, by a line of /etc/fstab:")
    click.echo(words.fstab)
    click.echo(f"# or by /etc/systemd/system/{words.unit_name} (systemctl enable --now '{words.unit_name}'):")
    click.echo(words.unit, nl=False)


@click.command()
@click.argument("name", required=False)
@GROUP
@output.json_option
def connections(*, name: str | None, group: str | None, as_json: bool) -> None:
    """List the machines outside that have a key, for the volume NAME or for all."""
    with Store.of_this_host() as store:
        found = wanted.list_all(store, group_of(store, group), name)
    if as_json:
        output.show_json([codec.to_builtins(view) for view in found])
        return
    output.show_table(
        ["volume", "machine", "may", "since", "key"],
        [
            [
                view.volume, view.machine, "read" if view.read_only else "read and write",
                f"{view.created_at:%Y-%m-%d %H:%M}", "made" if view.ready else "not yet",
            ]
            for view in found
        ],
        empty="no machine outside is connected",
    )  # fmt: skip


@click.command()
@click.argument("name")
@click.argument("machine")
@GROUP
@WAIT
def disconnect(*, name: str, machine: str, group: str | None, wait_s: float) -> None:
    """Take the key for the volume NAME back from MACHINE, and end what it has open with it."""
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        wanted.disconnect(store, chosen, name, machine)
        if wait_s > 0:
            wanted.wait_disconnected(store, chosen, name, machine, timeout_s=wait_s)
