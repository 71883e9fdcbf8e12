"""`larva net`: CLADNets from the command line."""

import click

from cladnet import network_hosts, networks
from cladnet.commands.net_change import recommend, show_one, update
from cladnet.commands.net_quality import alarms, quality
from cladnet.commands.net_status import status
from cladnet.enrol import membership
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import ADDRESS_QUARANTINE_S, Command, DatapathKind, Encryption, RuleType
from cladnet.reach.networks import TABLE
from cladnet.reach.system import Reach, ReachingGroup, reaching
from larva import output

_NET = click.argument("cladnet", metavar="CLADNET")


@click.group(cls=ReachingGroup)
def net() -> None:
    """Create, watch and delete CLADNets; CLADNET is an id or a name."""


@net.command()
@click.argument("cidr", required=False)
@click.option("--name", required=True, help="Unique; small letters, digits and hyphens.")
@click.option("--description", default="", help="For people.")
@click.option(
    "--rule", "rule_type", type=click.Choice([str(each) for each in RuleType]), default=str(RuleType.COST_PRIORITIZED),
    show_default=True, help="How hosts choose the address by which they reach each other.",
)  # fmt: skip
@click.option(
    "--datapath", type=click.Choice([str(each) for each in DatapathKind]), default=str(DatapathKind.AUTO),
    show_default=True, help="What carries the packets.",
)  # fmt: skip
@click.option(
    "--encryption", type=click.Choice([str(each) for each in Encryption]), default=str(Encryption.ON),
    show_default=True, help="off: plaintext VXLAN, for hosts that share a private network already.",
)  # fmt: skip
@click.option(
    "--quarantine", "quarantine_s", default=ADDRESS_QUARANTINE_S, show_default=True, metavar="SECONDS",
    help="How long a released address is kept from other hosts.",
)  # fmt: skip
@click.option(
    "--ipv6", is_flag=False, flag_value="auto", metavar="[PREFIX]",
    help="Give every host an IPv6 address too, in a private /64; one is drawn without PREFIX.",
)  # fmt: skip
@output.json_option
@reaching(TABLE)
def create(
    reach: Reach,
    *,
    cidr: str | None,
    name: str,
    description: str,
    rule_type: str,
    datapath: str,
    encryption: str,
    quarantine_s: float,
    ipv6: str | None,
    as_json: bool,
) -> None:
    """Create a CLADNet with the address range CIDR; a free one is chosen without it."""
    with reach() as system:
        specification = system(
            networks.create, name=name, cidr=cidr, ipv6=ipv6, description=description, rule_type=RuleType(rule_type),
            datapath=DatapathKind(datapath), encryption=Encryption(encryption), quarantine_s=quarantine_s,
        )  # fmt: skip
    show_one(specification, as_json=as_json)


@net.command("list")
@output.json_option
@reaching(TABLE)
def list_command(reach: Reach, *, as_json: bool) -> None:
    """List the CLADNets."""
    with reach() as system:
        found = system(networks.list_all)
    if as_json:
        output.show_json(found)
        return
    output.show_table(
        ["id", "name", "cidr", "ipv6", "rule", "data path", "encryption", "state", "description"],
        [
            [
                each.id,
                each.name,
                each.cidr,
                each.cidr6 or "",
                each.rule_type,
                each.datapath,
                each.encryption,
                each.state,
                each.description,
            ]
            for each in found
        ],
        empty="no CLADNet yet; create one with `larva net create --name NAME`",
    )


@net.command()
@_NET
@output.json_option
@reaching(TABLE)
def show(reach: Reach, *, cladnet: str, as_json: bool) -> None:
    """Show one CLADNet."""
    with reach() as system:
        show_one(system(networks.find, cladnet), as_json=as_json)


@net.command()
@_NET
@output.json_option
@reaching(TABLE)
def hosts(reach: Reach, *, cladnet: str, as_json: bool) -> None:
    """List the hosts of a CLADNet."""
    with reach() as system:
        views = system(network_hosts.views, cladnet)
    if as_json:
        output.show_json(views)
        return
    output.show_table(
        ["host", "address", "state", "seen", "public address", "provider", "region", "roles", "problem"],
        [
            [
                view.host, " ".join(str(each) for each in (view.address, view.address6) if each), view.state,
                "yes" if view.present else "no", view.public_address, view.cloud.provider, view.cloud.region,
                " ".join(view.roles), view.problem or view.ipv6_problem,
            ]
            for view in views
        ],
        empty="no host has joined yet",
    )  # fmt: skip


@net.command()
@_NET
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--wait", "wait_s", default=30.0, show_default=True, help="Seconds to wait until it is emptied; 0 does not."
)
@reaching(TABLE)
def delete(reach: Reach, *, cladnet: str, yes: bool, wait_s: float) -> None:
    """Delete a CLADNet: its hosts lose their interfaces and addresses."""
    with reach() as system:
        specification = system(networks.find, cladnet)
        if not yes:
            click.confirm(
                f"Delete CLADNet {specification.name} ({specification.cidr}) and cut its hosts off?", abort=True
            )
        system(networks.delete, specification.id)
        if wait_s > 0:
            system(networks.wait_deleted, specification.id, wait_s=wait_s)


@net.command()
@_NET
@click.argument("host")
@reaching(TABLE)
def up(reach: Reach, *, cladnet: str, host: str) -> None:
    """Have HOST take its interface up again."""
    _control(reach, cladnet, host, Command.UP)


@net.command()
@_NET
@click.argument("host")
@reaching(TABLE)
def down(reach: Reach, *, cladnet: str, host: str) -> None:
    """Have HOST take its interface down; it keeps its address."""
    _control(reach, cladnet, host, Command.DOWN)


@net.command()
@_NET
@click.argument("host", required=False)
def join(*, cladnet: str, host: str | None) -> None:
    """Put HOST, this one without it, into a further CLADNet."""
    with Store.of_this_host() as store:
        group = networks.find(store, cladnet).id
        membership.join_group(store, host=host or Member.load().host, group=group)


@net.command()
@_NET
@click.argument("host", required=False)
def leave(*, cladnet: str, host: str | None) -> None:
    """Take HOST, this one without it, out of a CLADNet."""
    with Store.of_this_host() as store:
        group = networks.find(store, cladnet).id
        membership.leave_group(store, host=host or Member.load().host, group=group)


def _control(reach: Reach, cladnet: str, host: str, command: Command) -> None:
    with reach() as system:
        system(network_hosts.control, system(networks.find, cladnet).id, host, command)


for _command in (recommend, update, status, quality, alarms):
    net.add_command(_command)
