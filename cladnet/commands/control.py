"""`larva control`: the control nodes, which together keep etcd, enrol hosts and give rules."""

import click

from cladnet.commands import control_backup
from cladnet.member import Member
from larva import output
from larva.process import require_root


@click.group()
def control() -> None:
    """The control nodes: three of them survive the loss of one."""


@control.command("list")
@output.json_option
def list_nodes(*, as_json: bool) -> None:
    """List the control nodes and how etcd is on each; run it on one of them."""
    from cladnet.access.root import open_root  # with the CA's cryptography; other commands need none of it
    from cladnet.control import census

    require_root("looking at the control nodes")
    with open_root() as root:
        found = census.look(root, Member.load())
    if as_json:
        output.show_json(found)
        return
    output.show_table(
        ["host", "address", "where", "state", "leads", "member", "database", "etcd"],
        [
            [
                each.host or "?", each.address, " ".join(filter(None, (each.provider, each.zone or each.region))),
                each.state, "yes" if each.leader else "", each.member_id,
                f"{each.db_bytes / 1e6:.1f} MB" if each.db_bytes is not None else "", each.etcd_endpoint,
            ]
            for each in found
        ],
    )  # fmt: skip
    for each in found:
        if each.problem:
            output.note(output.printable(f"{each.host or each.address}: {each.problem}"))


for _command in control_backup.COMMANDS:
    control.add_command(_command)
