"""The store of a request that changes things: who did what is written along with it, in the same transaction."""

import itertools
import logging
from collections.abc import Sequence

from flask import g, request

from cladnet.etcd.store import Condition, Delete, Operation, Put, Store
from larva import codec
from larva.errors import LarvaError
from web import actions, audit
from web.audit import Change, Doing

log = logging.getLogger(__name__)

_written = itertools.count()


class PreconditionFailed(LarvaError):
    """What the caller wants to change is not what it has seen."""

    code = "precondition-failed"
    http_status = 412


class RecordedStore(Store):
    """A connection as another one, for one request.

    Args:
        inner: the connection, which stays its owner's.
        doing: who does what.
    """

    def __init__(self, inner: Store, doing: Doing) -> None:
        self._cluster, self._trust = inner._cluster, inner._trust
        self._doing = doing
        self._guard: Condition | None = None
        self._revisions: dict[str, int] = {}

    def guard(self, key: str, revision: int) -> None:
        """Let the first change be made only while a key is what it was at a revision.

        Later changes of the same request are its own, and bound by what its functions read.
        """
        self._guard = Condition(key, revision)

    def revision(self, key: str) -> int | None:
        """The revision at which this request wrote a key; None if it did not."""
        return self._revisions.get(key)

    def commit(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> int | None:
        """As Store's, with the entry; PreconditionFailed if somebody else was faster than the caller of guard()."""
        guard = [self._guard] if self._guard is not None else []
        told = [self._change(operation) for operation in operations[: audit.MOST_CHANGES]]
        entry = audit.entry(self._doing, told, more=len(operations) - len(told))
        revision = super().commit([*conditions, *guard], [*operations, Put(audit.key(entry.id), entry)])
        if revision is None:
            self._check(guard)
            return None
        self._guard = None
        self._revisions |= {operation.key: revision for operation in operations if isinstance(operation, Put)}
        doing = self._doing
        log.info("%s: %s, %s %r from %s", doing.user, doing.action, doing.method, doing.path, doing.address)
        if next(_written) % audit.PRUNED_EVERY == 0:
            self._prune()
        return revision

    def delete(self, key: str, *, revision: int | None = None) -> bool:
        """As Store's, with the entry."""
        if revision is not None:
            return super().delete(key, revision=revision)
        if not self.exists(key):
            return False
        return self.commit([], [Delete(key)]) is not None

    def delete_prefix(self, prefix: str) -> int:
        """Refused: what it deletes would be told nowhere."""
        raise NotImplementedError(f"{prefix} is deleted key by key where somebody asks for it")

    def _check(self, guard: Sequence[Condition]) -> None:
        for each in guard:
            if current_revision(self, each.key) != each.revision:
                raise changed_meanwhile()

    def _change(self, operation: Operation) -> Change:
        found = self.raw(operation.key).items
        after = audit.shown(codec.to_builtins(operation.value)) if isinstance(operation, Put) else None
        return Change(key=operation.key, before=audit.told(found[0].value if found else None), after=after)

    def _prune(self) -> None:
        plain = Store.__new__(Store)
        plain._cluster, plain._trust = self._cluster, self._trust
        try:
            audit.prune(plain)
        except LarvaError as error:  # the change itself is made
            log.warning("old entries of the audit log stay for now: %s", error)


def begin(store: Store, user: str) -> None:
    """Have everything recorded that this request changes."""
    action = actions.named(request.endpoint or "")
    doing = Doing(
        user=user, address=request.remote_addr or "?", action=action, method=request.method, path=request.path
    )
    g.store = RecordedStore(store, doing)


def current_revision(store: Store, key: str) -> int:
    """The revision of a key; 0 where there is none."""
    found = store.raw(key).items
    return found[0].revision if found else 0


def changed_meanwhile() -> PreconditionFailed:
    """What to raise where it is not what the caller has seen."""
    return PreconditionFailed("it is not what you have seen", hint="read it again, and decide anew")
