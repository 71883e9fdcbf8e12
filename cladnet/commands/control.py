"""`larva control`: the control nodes, which together keep etcd, enrol hosts and give rules."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from cladnet import network_hosts, networks, status_tests
from cladnet.access.root import open_root
from cladnet.commands import control_backup
from cladnet.commands.enrol import duration_s
from cladnet.commands.role_option import extra_role_option
from cladnet.control import census, own_certificates, prudence, removal, siting
from cladnet.control.census import NodeView
from cladnet.control.siting import Advice
from cladnet.enrol import enrolment, membership, user_data
from cladnet.enrol.join_file import Join, JoinFile
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import Role
from cladnet.placement import candidates
from larva import output
from larva.errors import Conflict, InvalidInput
from larva.process import require_root

ELECTION_S = 30.0
"""How long a call waits while a node is removed: if it led, the others elect another one, which takes them seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewControlNode:
    """What `larva control add` prints: all that the next control node needs, and where it should be."""

    host: str
    server: str
    servers: tuple[str, ...]
    """Further consoles, for where that one does not answer."""
    ca: str
    token: str
    advice: Advice | None
    no_advice: str
    """Why there is none."""


@click.group()
def control() -> None:
    """The control nodes: three of them survive the loss of one."""


@control.command("list")
@output.json_option
def list_nodes(*, as_json: bool) -> None:
    """List the control nodes and how etcd is on each; run it on one of them."""
    require_root("looking at the control nodes")
    with open_root() as root:
        found = census.look(root, Member.load())
    if as_json:
        output.show_json(found)
        return
    _show(found)
    output.note(prudence.outlook(sum(each.votes for each in found)))


@control.command("add")
@click.option("--host", help="Its name in the system; the next free control-N without it.")
@extra_role_option
@click.option("--group", metavar="CLADNET", help="The CLADNet that it is a member of, too: id or name.")
@click.option("--ttl", default="1h", show_default=True, help="How long the token is good, a day at most: 90s, 30m, 1h.")
@click.option("--user-data", "as_user_data", is_flag=True, help="Print cloud-init user-data, ready to launch it with.")
@click.option("--force", is_flag=True, help="Although a control node is not well; etcd lets it in when all are.")
@output.json_option
def add(
    *, host: str | None, roles: tuple[str, ...], group: str | None, ttl: str, as_user_data: bool, force: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Make what the next control node joins with: a token for this one name, and where it should be."""
    require_root("adding a control node")
    seconds = duration_s(ttl)
    me = Member.load()
    with open_root() as root:
        nodes = census.look(root, me)
        problem = prudence.why_not_add(nodes)
        if problem and not force:
            raise Conflict(
                f"no control node should be added now: {problem}",
                hint="wait, bring it back, or `larva control remove` it; --force makes the token all the same",
            )
        if roles and group is None:
            raise InvalidInput(f"the role {roles[0]} needs a CLADNet", hint="give it by --group")
        cladnet = networks.find(root, group).id if group is not None else ""
        name = host or _free_name(root)
        plane = enrolment.control_plane(root)
        advice, no_advice = _advice(root, cladnet, nodes)
        chosen = tuple(Role(role) for role in roles) or ((Role.MEMBER,) if cladnet else ())
        secret = enrolment.create_control_token(root, host=name, group=cladnet, roles=chosen, ttl_s=seconds)
    servers = tuple(dict.fromkeys((me.server, *plane.servers)))
    new = NewControlNode(
        host=name, server=servers[0], servers=servers[1:], ca=plane.ca, token=secret, advice=advice,
        no_advice=no_advice,
    )  # fmt: skip
    join = Join(server=new.server, servers=new.servers, ca=new.ca, token=new.token)
    file = JoinFile(roles=(Role.CONTROL, *chosen), host=name, join=join)
    if as_json:
        output.show_json(new)
        return
    click.echo(user_data.cloud_config(file) if as_user_data else file.text(), nl=False)
    for line in _told(new, len(nodes), prudence.outlook(sum(each.votes for each in nodes) + 1)):
        output.note(output.printable(line))


@control.command("remove")
@click.argument("host")
@click.option("--force", is_flag=True, help="Although those who are left are no majority; etcd may still refuse.")
@output.json_option
def remove(*, host: str, force: bool, as_json: bool) -> None:
    """Take HOST out of the control nodes and out of the system, be it dead or alive; its certificates are useless."""
    require_root("removing a control node")
    with open_root(timeout=ELECTION_S) as root:
        left = removal.remove(root, Member.load(), host, force=force)
    if as_json:
        output.show_json(left)
        return
    output.note(f"{host} is removed; {prudence.outlook(sum(each.votes for each in left))}")
    output.note(
        "it held the keys of both authorities: if it fell into others' hands, see `A control node that was lost` "
        "in docs/security.md"
    )


@control.command("renew")
@output.json_option
def renew(*, as_json: bool) -> None:
    """Renew those of this control node's own certificates that end in some months; larva-renew.timer does so daily."""
    require_root("renewing a control node's certificates")
    kept = own_certificates.renew(open_root)
    if as_json:
        output.show_json(kept)
        return
    output.show_table(
        ["certificate", "good until", "renewed", "file"],
        [
            [each.use, each.ends.isoformat(timespec="minutes"), "yes" if each.why_renewed else "", str(each.path)]
            for each in kept
        ],
    )


def _show(found: Sequence[NodeView]) -> None:
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


def _free_name(root: Store) -> str:
    taken = {each.host for each in membership.enrolled_hosts(root)}
    taken |= {each.host for each in enrolment.control_plane(root).nodes}
    return next(name for number in range(2, len(taken) + 3) if (name := f"control-{number}") not in taken)


def _advice(root: Store, cladnet: str, nodes: Sequence[NodeView]) -> tuple[Advice | None, str]:
    """Advice by the CLADNet that was named, or by the only one there is; or why there is none."""
    known = [each.id for each in networks.list_all(root)] if not cladnet else [cladnet]
    if len(known) != 1:
        return None, "name the CLADNet whose hosts show which places there are: --group"
    try:
        found = candidates.of_cladnet(network_hosts.views(root, known[0]), status_tests.matrix(root, known[0]))
        return siting.advise(nodes, found), ""
    except InvalidInput as error:
        return None, error.message


def _told(new: NewControlNode, nodes: int, outlook: str) -> list[str]:
    lines = [f"{new.host} is to be control node {nodes + 1}: {outlook}"]
    if new.advice is not None:
        place = " ".join(filter(None, (new.advice.provider, new.advice.zone or new.advice.region)))
        lines.append(f"best launched in {place} (model {int(new.advice.model)}, {new.advice.why})")
        lines += [f"note: {warning}" for warning in new.advice.warnings]
    else:
        lines.append(f"no advice where to launch it: {new.no_advice}")
    lines.append("the file goes to /etc/larva/join.toml of the new VM, or use --user-data; then its boot does the rest")
    return lines


for _command in control_backup.COMMANDS:
    control.add_command(_command)
