"""What a new volume can be promised on the OSDs there are."""

from cbstorage import ground, keys, view
from cbstorage.ceph.layout import Survey, lay
from cbstorage.model import ClusterState
from cbstorage.promise import Promise
from cladnet.etcd.store import Store
from cladnet.placement.model import Survive
from larva import codec
from larva.errors import InvalidInput, MalformedData, NotFound, Unavailable


def parse(survive: str | None, home: str = "") -> Promise | None:
    """Return the promise in a user's words, None for none; InvalidInput for what cannot be one."""
    if survive is None:
        if home:
            raise InvalidInput("a home needs to be told what is to be survived", hint="give --survive too")
        return None
    try:
        return codec.convert({"survive": survive, "home": home}, Promise, source="the promise")
    except MalformedData as error:
        words = ", ".join(Survive)
        raise InvalidInput(
            f"{error.message}", hint=f"survive is one of {words}; home a provider or provider/region, as aws/eu-west-2"
        ) from error


def check(store: Store, group: str, promise: Promise) -> None:
    """Raise unless the OSDs that are up and in can keep a promise.

    Raises:
        NotFound: the group has no storage cluster.
        InvalidInput: they cannot; the message says what is missing.
        Unavailable: nobody knows yet how they stand.
    """
    lay(promise, present(store, group))


def present(store: Store, group: str) -> Survey:
    """The ground that the OSDs which are up and in make; errors as check()."""
    seen = view.read(store, group)
    if seen is None:
        raise NotFound(f"CLADNet {group} has no storage cluster", hint=f"larva storage init --group {group}")
    state = store.get(keys.cluster_state(group), ClusterState)
    if state is None:
        raise Unavailable("the storage cluster is not up yet: nothing can be promised", hint="larva storage status")
    return ground.survey(state.value.osds, seen.rules, ground.measured(store, group), up=True)
