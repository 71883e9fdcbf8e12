"""Removal: take a control node out of etcd, out of the record, and out of the system, be it dead or alive."""

import logging
from collections.abc import Sequence
from functools import partial

from cladnet.access.keeper import AccessKeeper
from cladnet.access.revocation import RevocationKeeper, list_file
from cladnet.access.root import root_ca
from cladnet.control import census, prudence, record
from cladnet.control.census import NodeView
from cladnet.control.etcd_members import EtcdMembers
from cladnet.enrol import membership
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import Role
from larva import backoff
from larva.errors import Conflict, InvalidInput, NotFound, Unavailable

log = logging.getLogger(__name__)

PATIENCE_S = 15.0
"""etcd agrees to a change only after the members that are to stay were in touch for five seconds."""


def remove(root: Store, me: Member, host: str, *, force: bool = False) -> tuple[NodeView, ...]:
    """Remove a control node and return those that are left; a call that was killed is finished by the next one.

    Args:
        root: a connection with root's certificate.
        me: the control node on which this runs.
        force: remove it although those who are left are no majority now; etcd itself may still refuse.

    Raises:
        InvalidInput: it is the node on which this runs.
        NotFound: there is no such control node.
        Conflict: the others would be no majority, or it is the last.
        Unavailable: etcd has no majority to agree to it.
    """
    if host == me.host:
        raise InvalidInput("a control node cannot remove itself", hint="run this on another control node")
    nodes = census.look(root, me)
    enrolled = {each.host: each for each in membership.enrolled_hosts(root)}
    known = enrolled.get(host)
    if all(each.host != host for each in nodes) and (known is None or Role.CONTROL not in known.roles):
        raise NotFound(
            f"there is no control node {host}",
            hint="`larva control list` shows them; any other host is removed by `larva enrol remove`",
        )
    problem = prudence.why_not_remove(nodes, host)
    if problem and not force:
        raise Conflict(
            f"{host} cannot be removed: {problem}",
            hint="bring the others back first; with --force etcd is asked all the same",
        )
    _leave_etcd(root, nodes, host)
    record.drop(root, host)
    if known is not None:
        membership.remove_host(root, host)
    AccessKeeper(root).settle()  # the controllers do the same; but its certificates are useless also while none runs
    if list_file().exists():
        RevocationKeeper(root, root_ca(), list_file()).reconcile()
    return census.look(root, me)


def _leave_etcd(root: Store, nodes: Sequence[NodeView], host: str) -> None:
    members = EtcdMembers(root.cluster)
    for each in nodes:
        if each.host == host and each.member_id:
            try:
                backoff.retry(
                    partial(members.remove, int(each.member_id, 16)),
                    on=Unavailable,
                    patience_s=PATIENCE_S,
                    doing=f"take {host} out of etcd",
                    longest_pause_s=2.0,
                )
            except NotFound:
                log.info("%s was no member of etcd any more", host)
