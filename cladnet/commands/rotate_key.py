"""`larva agent rotate-key`: replace this host's WireGuard key while traffic flows."""

from dataclasses import dataclass

import click

from larva import output
from larva.process import require_root


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What `larva agent rotate-key` prints."""

    next_public_key: str


@click.command("rotate-key")
@output.json_option
def rotate_key(*, as_json: bool) -> None:
    """Make this host's next WireGuard key; the agent tells the peers, then uses it. No connection breaks."""
    from cladnet.agent.keyring import KeyRing
    from cladnet.member import Member

    require_root("replacing this host's key")
    Member.load()  # a host that is not enrolled has no key yet
    begun = Begun(next_public_key=KeyRing().begin())
    if as_json:
        output.show_json(begun)
        return
    click.echo(begun.next_public_key)
    output.note("the agent announces it at once, and uses it when all peers have known it for a minute")
