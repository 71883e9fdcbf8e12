"""`larva join`: enrol this host by hand."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import click

from cladnet.commands import boot
from cladnet.commands.role_option import role_option
from cladnet.enrol.join_file import Join, JoinFile, check_server, join_file
from cladnet.model import Role
from larva import files, output, process
from larva.errors import Conflict, HostUnfit, InvalidInput, MalformedData, NotFound, Refused


@click.command("join")
@click.option("--server", required=True, help="The console's URL, https://ADDRESS:8443.")
@click.option("--ca", required=True, help="Fingerprint of the system's CA, sha256:…")
@click.option(
    "--token", "secret", prompt="Token", hide_input=True, envvar="LARVA_TOKEN",
    help="What `larva enrol token create` printed; asked for without it, so that no list of processes shows it.",
)  # fmt: skip
@role_option
@click.option("--host", help="The name in the system; the machine's own without it.")
@click.option("--patience", "patience_s", default=120.0, show_default=True, help="Seconds to wait for the server.")
def join(*, server: str, ca: str, secret: str, roles: tuple[str, ...], host: str | None, patience_s: float) -> None:
    """Enrol this host and start its services, as a VM does from its user-data."""
    process.require_root("joining")
    chosen = tuple(Role(role) for role in roles)
    target = Join(server=check_server(server, what="--server"), ca=ca, token=secret)
    base = JoinFile.load() if join_file().is_file() else JoinFile()
    wanted = replace(base, roles=chosen, host=host or base.host, join=target).checked(source="larva join")
    with _kept_unless_refused(wanted):
        member = boot.bring_up(wanted, patience_s=patience_s)
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
