"""`larva smb`: volumes for Windows and others, shared by the hosts of the role gateway."""

import secrets

import click

from cbstorage.smb import shares
from cbstorage.wanted import cluster
from cladnet import networks
from cladnet.etcd.store import Store
from larva import codec, output

_GROUP = click.option("--group", metavar="CLADNET", help="Id or name; not needed while there is one storage cluster.")


@click.group()
def smb() -> None:
    """Volumes for Windows: shared by SMB 3, encrypted, with named users."""


@smb.command()
@click.argument("volume")
@click.option("--on", "host", required=True, metavar="HOST", help="A host of the role gateway.")
@click.option("--user", "writers", multiple=True, metavar="USER", help="May read and write; several times.")
@click.option("--reader", "readers", multiple=True, metavar="USER", help="May read; several times.")
@click.option("--wait", "wait_s", type=float, default=0.0, help="Seconds to wait until it can be reached.")
@_GROUP
def share(
    *, volume: str, host: str, writers: tuple[str, ...], readers: tuple[str, ...], wait_s: float, group: str | None
) -> None:
    """Share VOLUME from a gateway with users, instead of those that it is shared with."""
    with Store.of_this_host() as store:
        chosen = _group(store, group)
        shares.share(store, chosen, volume, host, writers=writers, readers=readers)
        if wait_s > 0:
            shares.wait_serving(store, chosen, volume, host, timeout_s=wait_s)
    click.echo(rf"\\{host}\{volume} is for {' '.join((*writers, *readers))}; passwords: larva smb password USER")


@smb.command()
@click.argument("volume")
@click.option("--on", "host", required=True, metavar="HOST")
@_GROUP
def unshare(*, volume: str, host: str, group: str | None) -> None:
    """Share VOLUME from a gateway no more; who is connected is cut off."""
    with Store.of_this_host() as store:
        shares.unshare(store, _group(store, group), volume, host)


@smb.command()
@click.argument("user")
@click.option("--on", "hosts", multiple=True, metavar="HOST", help="A gateway; every one without it.")
@click.option("--generate", is_flag=True, help="Make one up and print it, once.")
@_GROUP
def password(*, user: str, hosts: tuple[str, ...], generate: bool, group: str | None) -> None:
    """Set the password of USER; it is asked for, and sealed to the gateways."""
    chosen = (
        secrets.token_urlsafe(15) if generate else click.prompt("Password", hide_input=True, confirmation_prompt=True)
    )
    with Store.of_this_host() as store:
        shares.set_password(store, _group(store, group), user, chosen, hosts)
    if generate:
        click.echo(chosen)


@smb.command()
@click.argument("user")
@_GROUP
def remove(*, user: str, group: str | None) -> None:
    """Let USER in no more, on any gateway."""
    with Store.of_this_host() as store:
        gateways = shares.remove_user(store, _group(store, group), user)
    click.echo(f"{user} is let in no more on {', '.join(gateways)}")


@smb.command("list")
@_GROUP
@output.json_option
def list_shares(*, group: str | None, as_json: bool) -> None:
    """List what is shared, with whom and how it stands."""
    with Store.of_this_host() as store:
        found = shares.list_all(store, _group(store, group))
    if as_json:
        output.show_json([codec.to_builtins(view) for view in found])
        return
    output.show_table(
        ["gateway", "volume", "writers", "readers", "state"],
        [
            [
                view.host, view.volume, " ".join(view.writers), " ".join(view.readers),
                "; ".join(view.problems) or ("serving" if view.serving else "waiting"),
            ]
            for view in found
        ],
        empty="nothing is shared",
    )  # fmt: skip


def _group(store: Store, group: str | None) -> str:
    return networks.find(store, group).id if group else cluster.only_group(store)
