"""`larva agent status`: this host in each of its CLADNets, and its peers as the data path has them."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from larva import output
from larva.process import require_root

if TYPE_CHECKING:
    from cladnet.doctor.condition import PeerCondition


@click.command("status")
@output.json_option
def agent_status(*, as_json: bool) -> None:
    """Show this host's CLADNets and peers; it works without the agent and without etcd."""
    from cladnet.doctor.inspection import inspect  # with what it needs the agent need not carry

    require_root("looking at the data path")
    condition = inspect()
    if as_json:
        output.show_json(condition)
        return
    silent = [url for url, why in condition.etcd.items() if why]
    reached = len(condition.etcd) - len(silent)
    click.echo(
        output.printable(
            f"{condition.host} ({', '.join(condition.roles)}): {reached} of {len(condition.etcd)} etcd endpoints answer"
        )
    )
    now = datetime.now(UTC)
    for cladnet in condition.cladnets:
        state = "up" if cladnet.link is not None and cladnet.link.is_up else "not up"
        prefix = f"/{cladnet.cidr.prefixlen}" if cladnet.cidr is not None else ""
        second = f", {cladnet.address6}/{cladnet.cidr6.prefixlen}" if cladnet.address6 and cladnet.cidr6 else ""
        carried = f", {cladnet.datapath} ({cladnet.datapath_why})" if cladnet.datapath is not None else ""
        remembered = "; from the cache, etcd does not tell" if cladnet.from_cache else ""
        click.echo()
        click.echo(
            output.printable(
                f"{cladnet.name}: {cladnet.interface} {state}, {cladnet.address or 'no address'}{prefix}{second}"
                f", public {cladnet.public_address or 'unknown'}, UDP {cladnet.listen_port}{carried}{remembered}"
            )
        )
        if cladnet.problem:
            click.echo(output.printable(f"  cannot join: {cladnet.problem}"))
        output.show_table(
            ["peer", "address", "state", "endpoint", "handshake", "received", "sent", "ms", "loss"],
            [
                [
                    peer.host, peer.address, peer.state,
                    f"{peer.endpoint[0]}:{peer.endpoint[1]}" if peer.endpoint else "unknown",
                    *_traffic(now, peer),
                    "" if peer.rtt_ms is None else f"{peer.rtt_ms:.2f}",
                    "" if peer.loss is None else f"{peer.loss:.1%}",
                ]
                for peer in cladnet.peers
            ],
            empty="no peer yet",
        )  # fmt: skip
        for alarm in cladnet.alarms:
            since = f"{alarm.since:%Y-%m-%d %H:%M:%S %Z}"
            click.echo(output.printable(f"  {alarm.destination} is {alarm.kind} since {since}: {alarm.evidence}"))


def _traffic(now: datetime, peer: "PeerCondition") -> tuple[str, str, str]:
    if not peer.has_handshakes:  # nor does such a data path count bytes
        return "", "", ""
    return _ago(now, peer.last_handshake), _bytes(peer.received_bytes), _bytes(peer.sent_bytes)


def _ago(now: datetime, moment: datetime | None) -> str:
    return "never" if moment is None else f"{max(0, int((now - moment).total_seconds()))} s ago"


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
