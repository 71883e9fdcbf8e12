"""`larva volume share`, `unshare` and `shares`: volumes for some hosts of a CLADNet only."""

from collections.abc import Sequence

import click

from cbstorage.commands.volume_options import GROUP, WAIT, group_of
from cbstorage.share_model import Share
from cbstorage.wanted import sharing
from cladnet.etcd.store import Store
from larva import codec, output
from larva.errors import InvalidInput

_WITH = click.option("--with", "hosts", metavar="HOST", multiple=True, help="A host; may be given several times.")


def words(found: Sequence[Share]) -> str:
    """Hosts and what they may do, for people."""
    return ", ".join(f"{one.host} (read only)" if one.read_only else one.host for one in found) or "no host"


@click.command()
@click.argument("name")
@_WITH
@click.option("--read-only", is_flag=True, help="They can only read; their keys allow no more.")
@click.option(
    "--only", is_flag=True, help="And with nobody else: others lose it at once, and what they have open ends."
)
@click.option("--all", "everybody", is_flag=True, help="With every host of the CLADNet, those too that join later.")
@GROUP
@WAIT
@output.json_option
def share(
    *,
    name: str,
    hosts: tuple[str, ...],
    read_only: bool,
    only: bool,
    everybody: bool,
    group: str | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Share the volume NAME with hosts; it is mounted by `larva volume mount` all the same."""
    if everybody == bool(hosts):
        raise InvalidInput("say with whom: either --with HOST or --all", hint="--with may be given several times")
    if everybody and (read_only or only):
        raise InvalidInput(
            "--all is every host, for writing too", hint="larva volume mount NAME --all --read-only mounts for reading"
        )
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        if everybody:
            sharing.open_to_all(store, chosen, name)
        elif only:
            wanted = [Share(host=host, read_only=read_only) for host in dict.fromkeys(hosts)]
            sharing.keep_for(store, chosen, name, wanted)
        else:
            sharing.share(store, chosen, name, hosts, read_only=read_only)
        _finish(store, chosen, name, wait_s=wait_s, as_json=as_json)


@click.command()
@click.argument("name")
@_WITH
@GROUP
@WAIT
@output.json_option
def unshare(*, name: str, hosts: tuple[str, ...], group: str | None, wait_s: float, as_json: bool) -> None:
    """Take the volume NAME from hosts: their keys are good no more, and what they have open ends."""
    if not hosts:
        raise InvalidInput("say from whom: --with HOST", hint=f"`larva volume shares {name}` lists who has it")
    with Store.of_this_host() as store:
        chosen = group_of(store, group)
        sharing.unshare(store, chosen, name, hosts)
        _finish(store, chosen, name, wait_s=wait_s, as_json=as_json)


@click.command()
@click.argument("name")
@GROUP
@output.json_option
def shares(*, name: str, group: str | None, as_json: bool) -> None:
    """List the hosts that the volume NAME is kept for."""
    with Store.of_this_host() as store:
        _show(sharing.shares(store, group_of(store, group), name), name, as_json=as_json)


def _finish(store: Store, group: str, name: str, *, wait_s: float, as_json: bool) -> None:
    if wait_s > 0:
        sharing.wait_in_force(store, group, name, timeout_s=wait_s)
    _show(sharing.shares(store, group, name), name, as_json=as_json)


def _show(found: Sequence[Share] | None, name: str, *, as_json: bool) -> None:
    if as_json:
        output.show_json({"everybody": found is None, "hosts": [codec.to_builtins(one) for one in found or ()]})
    elif found is None:
        click.echo(f"volume {name} is for every host of its CLADNet")
    else:
        output.show_table(
            ["host", "may"],
            [[one.host, "read" if one.read_only else "read and write"] for one in found],
            empty=f"volume {name} is kept for no host: `larva volume share {name} --with HOST`",
        )
