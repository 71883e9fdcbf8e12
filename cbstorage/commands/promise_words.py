"""What a volume can be promised, as commands print it."""

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
    for remark in found.remarks:
        output.note(f"note: {remark}")
