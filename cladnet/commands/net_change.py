"""`larva net recommend` and `larva net update`: a range before a CLADNet is made, and what may change afterwards."""

import click

from cladnet import networks
from cladnet.encryption import WARNING
from cladnet.model import CladnetSpecification, DatapathKind, Encryption, RuleType
from cladnet.reach.networks import TABLE
from cladnet.reach.system import Reach, reaching
from larva import output
from larva.errors import InvalidInput


@click.command()
@click.option("--hosts", type=int, help="How many hosts it should hold; 254 or fewer take a /24.")
@output.json_option
@reaching(TABLE)
def recommend(reach: Reach, *, hosts: int | None, as_json: bool) -> None:
    """Propose an address range for a new CLADNet and say what it keeps away from."""
    with reach() as system:
        found = system(networks.recommend, hosts=hosts)
    if as_json:
        output.show_json(found)
        return
    click.echo(f"{found.cidr}  holds {found.hosts} hosts and overlaps none of these:\n")
    output.show_table(
        ["range", "because", "whose"], [[each.network, each.reason, each.detail] for each in found.avoided]
    )


@click.command()
@click.argument("cladnet", metavar="CLADNET")
@click.option("--name", help="Unique; small letters, digits and hyphens.")
@click.option("--description", help="For people.")
@click.option(
    "--rule", "rule_type", type=click.Choice([str(each) for each in RuleType]),
    help="How hosts choose the address by which they reach each other.",
)  # fmt: skip
@click.option("--cidr", help="A range that contains the present one.")
@click.option("--datapath", type=click.Choice([str(each) for each in DatapathKind]), help="What carries the packets.")
@click.option(
    "--encryption", type=click.Choice([str(each) for each in Encryption]),
    help="off: plaintext VXLAN, for hosts that share a private network already. Hosts change over one by one.",
)  # fmt: skip
@click.option(
    "--quarantine", "quarantine_s", type=float, metavar="SECONDS",
    help="How long a released address is kept from other hosts.",
)  # fmt: skip
@click.option(
    "--ipv6", is_flag=False, flag_value="auto", metavar="[PREFIX|off]",
    help="Give every host an IPv6 address too, in a private /64 that is drawn without PREFIX; off takes it away.",
)  # fmt: skip
@output.json_option
@reaching(TABLE)
def update(
    reach: Reach,
    *,
    cladnet: str,
    name: str | None,
    description: str | None,
    rule_type: str | None,
    cidr: str | None,
    datapath: str | None,
    encryption: str | None,
    quarantine_s: float | None,
    ipv6: str | None,
    as_json: bool,
) -> None:
    """Change a CLADNet while traffic flows; what is not given stays."""
    if all(each is None for each in (name, description, rule_type, cidr, datapath, encryption, quarantine_s, ipv6)):
        raise InvalidInput("nothing to change", hint="`larva net update --help` shows what can be")
    with reach() as system:
        changed = system(
            networks.update, cladnet, name=name, description=description, cidr=cidr, ipv6=ipv6,
            quarantine_s=quarantine_s,
            rule_type=RuleType(rule_type) if rule_type is not None else None,
            datapath=DatapathKind(datapath) if datapath is not None else None,
            encryption=Encryption(encryption) if encryption is not None else None,
        )  # fmt: skip
    show_one(changed, as_json=as_json)


def show_one(specification: CladnetSpecification, *, as_json: bool) -> None:
    """Print one CLADNet, and loudly what is risky of it."""
    if specification.encryption == Encryption.OFF:
        output.note(WARNING)
    if as_json:
        output.show_json(specification)
        return
    output.show_table(
        ["id", "name", "cidr", "ipv6", "rule", "data path", "encryption", "state", "created", "description"],
        [
            [
                specification.id, specification.name, specification.cidr, specification.cidr6 or "",
                specification.rule_type, specification.datapath, specification.encryption,
                specification.state,
                specification.created_at.isoformat(timespec="seconds"), specification.description,
            ]
        ],
    )  # fmt: skip
