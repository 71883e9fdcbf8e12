"""How a storage cluster is, as programs read it: what is in etcd, and what its complaints mean."""

from dataclasses import dataclass

from cbstorage.wanted import cluster, health_words
from cbstorage.wanted.cluster import ClusterView
from cbstorage.wanted.health_words import Explained


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainCluster(ClusterView):
    """A storage cluster with each complaint's cause and remedy."""

    words: str
    """Its health in words."""
    health: tuple[Explained, ...]


def plain(view: ClusterView) -> PlainCluster:
    """Return everything that is known of a cluster, with each complaint's cause and remedy."""
    checks = view.state.checks if view.state else ()
    return PlainCluster(
        specification=view.specification, state=view.state, hosts=view.hosts, words=cluster.words(view.state),
        health=tuple(health_words.explain(check) for check in checks),
    )  # fmt: skip
