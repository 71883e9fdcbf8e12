"""The option `--role` of the commands that make hosts."""

import click

from cladnet.model import Role

_ROLES = [str(role) for role in (Role.STORAGE, Role.MEMBER, Role.GATEWAY)]

role_option = click.option(
    "--role", "roles", multiple=True, type=click.Choice(_ROLES), default=(str(Role.MEMBER),), show_default=True,
    help="May be given several times.",
)  # fmt: skip

extra_role_option = click.option(
    "--role", "roles", multiple=True, type=click.Choice(_ROLES), help="What it is besides; may be given several times."
)
