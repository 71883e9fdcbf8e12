"""The option `--role` of the commands that make members."""

import click

from cladnet.model import Role

_ROLES = (Role.STORAGE, Role.MEMBER)

role_option = click.option(
    "--role", "roles", multiple=True, type=click.Choice([str(role) for role in _ROLES]), default=(str(Role.MEMBER),),
    show_default=True, help="May be given several times.",
)  # fmt: skip
