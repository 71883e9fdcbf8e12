"""`larva join`: enrol this host by hand."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import click
from click.core import ParameterSource

from cladnet.commands import boot
from cladnet.commands.role_option import role_option
from cladnet.enrol.join_file import Join, JoinFile, check_server, join_file
from cladnet.member import member_file
from cladnet.model import Role
from larva import files, output, process
from larva.errors import Conflict, HostUnfit, InvalidInput, MalformedData, NotFound, Refused


@click.command("join")
@click.option("--server", required=True, help="The console's URL, https://ADDRESS:8443.")
@click.option("--ca", help="Fingerprint of the system's CA, sha256:…; needed unless join.toml has it.")
@click.option(
    "--token", "secret", envvar="LARVA_TOKEN",
    help="What `larva enrol token create` printed. Without it that of join.toml, if it is of the same system; else it "
    "is asked for, so that no list of processes shows it.",
)  # fmt: skip
@role_option
@click.option("--host", help="The name in the system; the machine's own without it.")
@click.option("--patience", "patience_s", default=120.0, show_default=True, help="Seconds to wait for the server.")
def join(
    *, server: str, ca: str | None, secret: str | None, roles: tuple[str, ...], host: str | None, patience_s: float
) -> None:
    """Enrol this host and start its services, as a VM does from its user-data.

    On a host that is enrolled: ask again, since the system was restored, or is at another address now.
    """
    process.require_root("joining")
    base = JoinFile.load() if join_file().is_file() else JoinFile()
    said = click.get_current_context().get_parameter_source("roles") is not ParameterSource.DEFAULT
    chosen = base.roles if base.join is not None and not said else tuple(Role(role) for role in roles)
    ca = ca or (base.join.ca if base.join else None)
    if ca is None:
        raise click.UsageError("Missing option '--ca'.")
    if secret is None and base.join is not None and base.join.ca == ca:
        secret = base.join.token
    if secret is None:
        secret = str(click.prompt("Token", hide_input=True))
    target = Join(server=check_server(server, what="--server"), ca=ca, token=secret)
    wanted = replace(base, roles=chosen, host=host or base.host, join=target).checked(source="larva join")
    enrolled = member_file().exists()
    with _kept_unless_refused(wanted):
        member = boot.bring_up(wanted, patience_s=patience_s, anew=True)
    if enrolled:
        boot.restart_members()  # they may wait for another etcd, or have been refused by it
    output.note(f"{member.host} has joined {', '.join(member.groups) or 'the system'}")


@contextlib.contextmanager
def _kept_unless_refused(wanted: JoinFile) -> Iterator[None]:
    """Write the join file first, so that a reboot finishes what was begun; put the old one back on a refusal."""
    before = join_file().read_bytes() if join_file().is_file() else None
    wanted.save()
    try:
        yield
    except (Refused, Conflict, HostUnfit, InvalidInput, MalformedData, NotFound):
        if before is None:
            join_file().unlink(missing_ok=True)
        else:
            files.write_whole(join_file(), before, mode=files.SECRET)
        raise
