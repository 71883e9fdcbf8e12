"""`larva enrol`: tokens, and the hosts that used them."""

import re
from dataclasses import dataclass
from pathlib import Path

import click

from cladnet import networks
from cladnet.commands.role_option import role_option
from cladnet.enrol import departure, enrolment, membership, user_data
from cladnet.enrol.join_file import Join, JoinFile, Storage
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import Role
from larva import output
from larva.errors import InvalidInput

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d{1,7})([smhd])")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """What `larva enrol token create` prints: all that a new host needs."""

    server: str
    servers: tuple[str, ...]
    """Further consoles, for where that one does not answer."""
    ca: str
    token: str


@click.group()
def enrol() -> None:
    """Let hosts join: tokens, and the hosts that hold a certificate."""


@enrol.group()
def token() -> None:
    """Tokens, each good for some hosts and some time."""


@token.command("create")
@click.option("--group", required=True, help="CLADNet that its bearers join: id or name.")
@role_option
@click.option("--ttl", default="1h", show_default=True, help="How long it is good: 90s, 30m, 1h, 7d.")
@click.option("--uses", default=1, show_default=True, help="How many hosts it enrols.")
@click.option("--user-data", "as_user_data", is_flag=True, help="Print cloud-init user-data, ready to launch VMs with.")
@click.option(
    "--device", "devices", multiple=True, metavar="PATH", type=click.Path(path_type=Path),
    help="For the user-data: a disk that storage hosts give, as /dev/vdb. May be given several times.",
)  # fmt: skip
@click.option("--encrypt", is_flag=True, help="For the user-data: encrypt what is kept on those disks (dm-crypt).")
@output.json_option
def create(
    *, group: str, roles: tuple[str, ...], ttl: str, uses: int, as_user_data: bool, devices: tuple[Path, ...],
    encrypt: bool, as_json: bool,
) -> None:  # fmt: skip
    """Create a token; its secret is shown this once."""
    chosen = tuple(Role(role) for role in roles)
    if devices and not (as_user_data and Role.STORAGE in chosen):
        raise click.UsageError("--device goes with --user-data and --role storage")
    if encrypt and not devices:
        raise click.UsageError("--encrypt goes with --device")
    if not all(device.is_absolute() for device in devices):
        raise click.UsageError("--device: start the path with /")
    seconds = duration_s(ttl)
    with Store.of_this_host() as store:
        place = enrolment.control_plane(store)
        cladnet = networks.find(store, group)
        secret = enrolment.create_token(store, group=cladnet.id, roles=chosen, ttl_s=seconds, uses=uses)
    own = Member.load().server  # where this runs is a console that answers
    servers = tuple(dict.fromkeys((*(each for each in place.servers if each == own), *place.servers)))
    new = NewToken(server=servers[0], servers=servers[1:], ca=place.ca, token=secret)
    if as_user_data:
        join = Join(server=new.server, servers=new.servers, ca=new.ca, token=new.token)
        given = Storage(devices=devices, encrypt=encrypt)
        click.echo(user_data.cloud_config(JoinFile(roles=chosen, join=join, storage=given)), nl=False)
    elif as_json:
        output.show_json(new)
    else:
        click.echo(f"server  {new.server}\nca      {new.ca}\ntoken   {new.token}")
        output.note(f"on the new host, which asks for the token: larva join --server {new.server} --ca {new.ca}")


@token.command("list")
@output.json_option
def list_tokens(*, as_json: bool) -> None:
    """List the tokens that can be used, and those that expired within a day."""
    with Store.of_this_host() as store:
        found = enrolment.tokens(store)
    if as_json:
        output.show_json(found)
        return
    output.show_table(
        ["id", "CLADNet", "roles", "uses left", "expires"],
        [
            [each.id, each.group, " ".join(each.roles), each.uses_left, "expired" if each.expired else each.expires_at]
            for each in found
        ],
        empty="no token; make one with `larva enrol token create`",
    )


@token.command("revoke")
@click.argument("token_id", metavar="ID")
def revoke(*, token_id: str) -> None:
    """Make the token whose id begins with ID useless."""
    with Store.of_this_host() as store:
        enrolment.revoke_token(store, token_id)
    output.note("revoked")


@enrol.command("hosts")
@output.json_option
def hosts(*, as_json: bool) -> None:
    """List the hosts that hold a certificate."""
    with Store.of_this_host() as store:
        found = membership.enrolled_hosts(store)
    if as_json:
        output.show_json(found)
        return
    output.show_table(
        ["host", "CLADNets", "roles", "enrolled", "certificate"],
        [
            [each.host, " ".join(each.groups), " ".join(each.roles), f"{each.enrolled_at:%Y-%m-%d %H:%M:%SZ}",
             each.certificate_serial]
            for each in found
        ],
        empty="no host is enrolled",
    )  # fmt: skip


@enrol.command("remove")
@click.argument("host")
def remove(*, host: str) -> None:
    """Take HOST out of the system and its CLADNets; its name is free again and its certificate useless."""
    from cladnet.access.keeper import AccessKeeper  # with the CA's cryptography; other commands need none of it
    from cladnet.access.revocation import RevocationKeeper, list_file
    from cladnet.access.root import open_root, root_ca

    with Store.of_this_host() as store:
        token = departure.expel(store, host)
    with open_root() as root:  # the controller does the same; but the certificate is useless also while none runs
        AccessKeeper(root).settle()
        if list_file().exists():
            RevocationKeeper(root, root_ca(), list_file()).reconcile()
    output.note(f"{host} is removed")
    if token is not None:
        output.note(
            f"the token that it was enrolled with is good for {token.uses_left} more hosts and may still be on it: "
            f"`larva enrol token revoke {token.id}` ends that"
        )


def duration_s(text: str) -> float:
    """Return the seconds of `90s`, `30m`, `1h` or `7d`; InvalidInput for anything else."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise InvalidInput(f"{text!r} is not a duration", hint="write it as 90s, 30m, 1h or 7d")
    return float(int(match[1]) * _UNITS_S[match[2]])
