"""`larva demo`: the whole idea on three clouds of one machine."""

import click

from images.clouds.lab.cli import COMMANDS


@click.group()
def demo() -> None:
    """Bring the appliance up on the lab cloud, look into it, break it, take it down."""


for command in COMMANDS:
    demo.add_command(command)
