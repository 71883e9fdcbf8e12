"""Following the control plane: which consoles and which etcd endpoints there are now, in use at once and on disk."""

import logging
import threading
from dataclasses import replace
from typing import Self

from cladnet import keys, member
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Store
from cladnet.member import Member, tls_files
from cladnet.model import ControlPlane, Role

log = logging.getLogger(__name__)

RESYNC_S = 300.0


def updated(me: Member, plane: ControlPlane) -> Member:
    """Return a host's membership as the record of the control nodes has it.

    A control node keeps its own console and its own etcd, first and by the address it has inside. A host's console
    stays the one that enrolled it as long as that is one.
    """
    servers = plane.servers
    if Role.CONTROL in me.roles:
        mine = next((node.etcd_endpoint for node in plane.nodes if node.host == me.host), None)
        others = [endpoint for endpoint in plane.etcd_endpoints if endpoint != mine]
        endpoints = tuple(dict.fromkeys((me.etcd_endpoints[0], *others)))
        return replace(me, etcd_endpoints=endpoints, servers=servers)
    server = me.server if me.server in servers else servers[0]
    return replace(me, server=server, servers=servers, etcd_endpoints=plane.etcd_endpoints)


class FollowingStore(Store):
    """The store of a service: it learns of new and removed control nodes, and of a new certificate, while it runs."""

    _thread: threading.Thread | None = None
    _stop: threading.Event
    _led: tuple[Store, ...] = ()

    @classmethod
    def of_this_host(cls) -> Self:
        """The store that this host is enrolled with; NotFound if it is not enrolled."""
        me = Member.load()
        store = cls(me.etcd_endpoints, tls=tls_files(), first=Role.CONTROL in me.roles)
        store.follow()
        return store

    def follow(self) -> None:
        """Follow the record of the control nodes until close()."""
        self._stop = threading.Event()
        loop = Reconciler(self, [keys.CONTROL_PLANE], self._look, name="control-plane", resync_s=RESYNC_S)
        self._thread = threading.Thread(target=loop.run, args=(self._stop,), name="control-plane", daemon=True)
        self._thread.start()

    def lead(self, other: Store) -> None:
        """Have another connection to the same etcd follow too."""
        self._led = (*self._led, other)

    def close(self) -> None:
        """Stop following and close every connection."""
        if self._thread is not None:
            self._stop.set()
        super().close()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def reopen_if_renewed(self) -> None:
        """Let every connection use a certificate that was renewed; also seen by itself within five minutes."""
        for store in (self, *self._led):
            store.cluster.reopen_if_renewed()

    def _look(self) -> None:
        self.reopen_if_renewed()  # first: with the old one the call below may not be answered any more
        plane = self.get(keys.CONTROL_PLANE, ControlPlane)
        if plane is None:
            return
        for store in (self, *self._led):  # before it is written: a full disk must not keep a host on dead endpoints
            store.cluster.replace(updated(Member.load(), plane.value).etcd_endpoints)
        try:
            member.change(lambda me: updated(me, plane.value))
        except OSError as error:
            log.warning("the next start may not know where etcd is now: %s", error.strerror)
