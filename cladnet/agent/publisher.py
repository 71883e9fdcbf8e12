"""Tell the control plane this host's network information, by compare-and-swap and only when it changed."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

from cladnet import keys
from cladnet.agent import discovery, errand
from cladnet.datapath import link
from cladnet.etcd.store import Condition, Put, Store
from cladnet.member import Identity, Member, tls_files
from cladnet.model import (
    CladnetSpecification,
    CladnetState,
    EnrolledHost,
    HostNetworkInformation,
    NetworkInterface,
    Role,
)
from cladnet.trust.trust import own_certificate
from larva import __version__
from larva.errors import Conflict, LarvaError, MalformedData

log = logging.getLogger(__name__)

NOBODY_TOLD_S = 10.0
"""So soon is asked again while the public address is not known at all: a console may be slow, or just be lost."""
ASK_AGAIN_S = 60.0
"""A public address that changes without any change on the host (an elastic address moved) is found within this."""


class HostFacts:
    """What this host knows of itself, for all its CLADNets; asks for the public address when it may have changed."""

    def __init__(self, member: Member, identity: Identity) -> None:
        self.member = member
        self.identity = identity
        self._lock = threading.Lock()
        self._asked_for: tuple[NetworkInterface, ...] | None = None
        self._asked_at = 0.0
        self._public: IPv4Address | None = None

    @property
    def knows_its_place(self) -> bool:
        """Whether anybody has told the public address yet."""
        return self._public is not None

    def _servers(self) -> tuple[str, ...]:
        """The consoles known now: they come and go while this host runs. A control node asks its own."""
        try:
            now = Member.load()
        except LarvaError as error:
            log.debug("the membership on disk is of no use: %s", error.message)
            now = self.member
        if Role.CONTROL in now.roles:
            return (now.server,)
        return tuple(dict.fromkeys((now.server, *now.servers)))

    def look(self, *, listen_port: int, known: IPv4Address | None) -> HostNetworkInformation:
        """Return the information as it is now.

        Args:
            known: the public address that was published last.
        """
        metadata = discovery.metadata()
        with self._lock:
            own = discovery.interfaces()
            if own != self._asked_for or time.monotonic() - self._asked_at > ASK_AGAIN_S:
                self._public = discovery.public_address(
                    own,
                    servers=self._servers(),
                    ca=tls_files().ca,
                    is_control=Role.CONTROL in self.member.roles,
                    known=self._public or known,
                    metadata=metadata.public_address,
                    ask=errand.ask_public_address,
                )
                # Where nobody could tell, the next look asks again: without it no other cloud reaches this host.
                self._asked_for = own if self._public is not None else None
                self._asked_at = time.monotonic()
            public = self._public
        return HostNetworkInformation(
            host=self.member.host,
            public_address=public,
            interfaces=own,
            listen_port=listen_port,
            public_key=self.identity.wireguard_public,
            seal_key=self.identity.seal_public,
            cloud=discovery.overridden(metadata.cloud, self.member.cloud),
            roles=self.member.roles,
            agent_version=__version__,
            has_ipv6=link.has_ipv6(),
            networks6=discovery.networks6(),
            certificate=_certificate(),
        )


def _certificate() -> str:
    """What others check this host's signature with; it changes when the certificate is renewed."""
    try:
        return own_certificate(tls_files())
    except FileNotFoundError:  # a host without TLS: nothing is signed there
        return ""


def publish(
    store: Store,
    facts: HostFacts,
    group: str,
    *,
    listen_port: int,
    public_keys: Callable[[str], tuple[str, str]] | None = None,
) -> bool:
    """Write this host's information if it differs from what is there; return whether it was written.

    Nothing is written into a CLADNet that does not exist, is being deleted, or has this host no longer: the write
    depends on the enrolment record that says so, which may change at the same moment.

    Args:
        public_keys: from the WireGuard public key that this host says it has to the one that it should say and to the
            one that will follow; asked right before the writing.

    Raises:
        Conflict: somebody wrote it meanwhile; look again.
    """
    host = facts.member.host
    record = store.get(keys.enrolled_host(host), EnrolledHost)
    specification = store.get(keys.configuration(group), CladnetSpecification)
    if record is None or group not in record.value.groups:
        return False
    if specification is None or specification.value.state != CladnetState.ACTIVE:
        return False
    key = keys.host_information(group, host)
    try:
        current = store.get(key, HostNetworkInformation)
        revision = current.revision if current else 0
    except MalformedData as error:  # only this host writes here: whoever did not is written over
        log.warning("%s: %s", group, error.message)
        current, revision = None, store.revisions(key).get(key, 0)
    information = facts.look(listen_port=listen_port, known=current.value.public_address if current else None)
    if public_keys is not None:
        public, following = public_keys(current.value.public_key if current else "")
        information = replace(information, public_key=public, next_public_key=following)
    if current is not None and current.value == information:
        return False
    conditions = [
        Condition(key, revision),
        Condition(record.key, record.revision),
        Condition(specification.key, specification.revision),
    ]
    if not store.transact(conditions, [Put(key, information)]):
        raise Conflict(f"{key} or what it depends on was changed meanwhile")
    log.info("%s: published the host's network information", group)
    return True
