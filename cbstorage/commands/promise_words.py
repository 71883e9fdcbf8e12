"""What a volume can be promised, as commands print it."""

from datetime import UTC, datetime

import click

from cbstorage.wanted.promises import Preview
from cladnet.placement.words import milliseconds
from larva import output


def show(found: Preview) -> None:
    """Print every promise, what a write costs under it, and why some cannot be given."""
    writer = found.home or "any storage host"
    click.echo(f"{found.copies} copies, of which {found.needed} suffice; written from {writer}:")
    output.show_table(
        ["survive", "possible", "a write takes", "at worst", "remark"],
        [
            [
                one.survive, "no" if one.missing else "yes", milliseconds(one.write.expected_ms) if one.write else "",
                milliseconds(one.write.worst_ms) if one.write else "", one.missing or ("unwise" if one.unwise else ""),
            ]
            for one in found.options
        ],
    )  # fmt: skip
    if found.measured_at is not None:
        past = output.age((datetime.now(UTC) - found.measured_at).total_seconds())
        output.note(
            f"by distances that were measured {past} ago ({found.measured_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC); "
            "`larva net status` measures anew"
        )
    for remark in found.remarks:
        output.note(f"note: {remark}")


def mirror_offer(name: str) -> str:
    """What to do instead where a promise makes writes too slow: near its writers, and a mirror far away."""
    return (
        f"note: instead, promise what is near its writers, and have it followed from afar, minutes behind:\n"
        f"  larva volume create {name} --size … --survive zone --home CSP/REGION\n"
        f"  larva volume mirror {name} --to CSP[/REGION] --every 15m"
    )
