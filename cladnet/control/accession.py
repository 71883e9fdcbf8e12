"""Accession: a host enrolled with the role control becomes a further control node, a member of etcd with a vote."""

import logging
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

from cladnet import keys
from cladnet.access.revocation import RevocationKeeper, list_file
from cladnet.access.root import root_tls
from cladnet.agent import discovery, whoami
from cladnet.control import node_files, record
from cladnet.control.census import belongs
from cladnet.control.etcd_config import Ports
from cladnet.control.etcd_members import EtcdMember, EtcdMembers
from cladnet.control.node_files import Place
from cladnet.enrol import joining
from cladnet.enrol.authority import Authority
from cladnet.enrol.enrolment import MOST_EARLIER_SERIALS, control_plane
from cladnet.enrol.join_file import JoinFile
from cladnet.etcd.store import Store
from cladnet.following import updated
from cladnet.member import Member, tls_files
from cladnet.model import ControlPlane, EnrolledHost
from larva import backoff, settings
from larva.errors import Conflict, LarvaError, Unavailable

log = logging.getLogger(__name__)

PATIENCE_S = 600.0
"""etcd takes one newcomer at a time, and each only after all members were in touch for some seconds."""


def accede(
    wanted: JoinFile,
    *,
    start_etcd: Callable[[], None],
    ports: Ports = Ports(),  # noqa: B008 - frozen
    patience_s: float = PATIENCE_S,
) -> Member:
    """Return this control node's membership, making it one of the control nodes first if needed.

    Each step looks at what is there and does what is missing, so that a call that was killed anywhere is finished by
    the next one: enrolled, with the authorities' keys; recorded as coming; a learner of etcd, which has no vote and
    so costs the others no majority if it never comes; in sync; with a vote; recorded as ready.

    Args:
        wanted: a join file with `[join]` and the role control.
        start_etcd: starts it, or does nothing if it runs; need not wait.
        patience_s: seconds for which a console, and then etcd, is waited for.

    Raises:
        Conflict: this node was removed.
        Unavailable: the other control nodes do not let it in in time.
    """
    me = joining.enrol(wanted, patience_s=patience_s)
    place = node_files.locate(wanted, me.host, ports, seen=_seen(me))
    others = tuple(endpoint for endpoint in me.etcd_endpoints if endpoint != place.own_endpoint)
    ca = settings.state_directory() / "ca"
    newcomer = _Newcomer(place, Authority.load(ca), Authority.load(ca / "members"), start_etcd)
    if node_files.etcd_has_data():  # it has been a member: the others may need it to have a majority at all
        newcomer.start()
    log.info("joining the control nodes as %s, reached by others at %s", place.host, place.public)
    endpoints = (place.own_endpoint, *others) if node_files.etcd_has_data() else others
    with Store(endpoints, tls=root_tls(), timeout=5.0) as root:
        plane = backoff.retry(
            lambda: newcomer.advance(root),
            on=Unavailable,
            patience_s=patience_s,
            doing="become a member of etcd",
            longest_pause_s=2.0,
        )
    own = (place.own_endpoint,)
    mine = replace(me, server=place.record(ready=True).server, etcd_endpoints=own, cloud=wanted.cloud)
    mine = updated(mine, plane)
    mine.save()
    return mine


def _seen(me: Member) -> IPv4Address | None:
    """The address from which another control node sees this one, or else the one by which they know it already."""
    has_been = node_files.etcd_has_data()  # then `server` is its own, and would see it from inside
    for server in me.servers:
        if has_been and server == me.server:
            continue
        try:
            return whoami.ask_public_address(server, tls_files().ca)
        except LarvaError as error:
            log.debug("%s", error.message)
    return discovery.host_of(me.server) if has_been else None


class _Newcomer:
    """The steps of one node on its way in."""

    def __init__(self, place: Place, clients: Authority, members: Authority, start_etcd: Callable[[], None]) -> None:
        self._place = place
        self._clients = clients
        self._members = members
        self._start_etcd = start_etcd

    def start(self) -> None:
        """Start an etcd that goes by its data."""
        node = self._place.record(ready=True)
        node_files.lay_out(self._place, self._clients, self._members, existing={node.host: node.peer_url})
        self._start_etcd()

    def advance(self, root: Store) -> ControlPlane:
        """Go on from wherever this node is and return the record when it is all the way in.

        Raises:
            Unavailable: not yet; call again.
            Conflict: it was removed.
        """
        node = self._place.record(ready=False)
        self._require_enrolment(root)
        members = EtcdMembers(root.cluster)
        found = members.list()
        mine = next((each for each in found if belongs(each, node)), None)
        if mine is None:
            mine = self._enter(root, members)
            found = members.list()
        if not node_files.etcd_has_data():
            self._first_start(root, found)
        if node.peer_url not in mine.peer_urls:
            members.move(mine.id, node.peer_url)
        if mine.is_learner:
            self._promote(members, mine)
        return record.keep(root, self._place.record(ready=True), ca=self._clients.fingerprint())

    def _require_enrolment(self, root: Store) -> None:
        """Whoever was removed meanwhile does not come back by what it still holds."""
        key = keys.enrolled_host(self._place.host)
        found = root.get(key, EnrolledHost)
        if found is None:
            raise _removed(self._place.host)
        serials = tuple(dict.fromkeys((*node_files.client_serials(), *found.value.earlier_serials)))
        if set(serials) != set(found.value.earlier_serials):  # so that removal revokes these too
            try:
                root.replace(found, replace(found.value, earlier_serials=serials[:MOST_EARLIER_SERIALS]))
            except Conflict as error:
                raise Unavailable(error.message) from error

    def _enter(self, root: Store, members: EtcdMembers) -> EtcdMember:
        if node_files.etcd_has_data():
            if all(each.host != self._place.host for each in control_plane(root).nodes):
                raise _removed(self._place.host)
            raise Unavailable(f"etcd does not know {self._place.host} as a member")
        node = self._place.record(ready=False)
        record.keep(root, node, ca=self._clients.fingerprint())
        try:
            return members.add_learner(node.peer_url)
        except Conflict as error:  # another newcomer has no vote yet, or our own request was answered to nobody
            raise Unavailable(error.message, hint="`larva control list` shows who is on the way") from error

    def _first_start(self, root: Store, found: tuple[EtcdMember, ...]) -> None:
        """etcd wants to know every member by name when it starts for the first time."""
        node = self._place.record(ready=False)
        self._learn_revocations(root)
        existing = {node.host if belongs(each, node) else each.name: each.peer_urls[0] for each in found}
        if node.host not in existing or "" in existing:
            raise Unavailable("another member of etcd has not started yet")
        node_files.lay_out(self._place, self._clients, self._members, existing=existing)
        self._start_etcd()

    def _learn_revocations(self, root: Store) -> None:
        """etcd is to refuse from its first moment on whom the others refuse."""
        try:
            RevocationKeeper(root, self._clients, list_file()).reconcile()
        except Conflict as error:
            raise Unavailable(error.message) from error

    def _promote(self, members: EtcdMembers, mine: EtcdMember) -> None:
        try:
            members.promote(mine.id)
        except Conflict as error:  # it lags still, or has its vote since our last try
            now = next((each for each in members.list() if each.id == mine.id), mine)
            if now.is_learner:
                raise Unavailable(f"our etcd is not in sync yet: {error.message}") from error
        log.info("%s is a member of etcd with a vote", self._place.host)


def _removed(host: str) -> Conflict:
    return Conflict(
        f"{host} was removed from the control nodes",
        hint="start a new machine with what `larva control add` prints; this one's data is of no use any more",
    )
