"""How a storage cluster is, as programs read it: what is in etcd, and what its complaints mean."""

from cbstorage.wanted import cluster, health_words
from cbstorage.wanted.cluster import ClusterView
from larva import codec


def plain(view: ClusterView) -> dict[str, object]:
    """Return everything that is known of a cluster, with each complaint's cause and remedy."""
    checks = view.state.checks if view.state else ()
    return {
        **codec.to_builtins(view),
        "words": cluster.words(view.state),
        "health": [codec.to_builtins(health_words.explain(check)) for check in checks],
    }
