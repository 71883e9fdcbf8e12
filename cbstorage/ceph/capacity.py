"""How much volumes can hold, where copies may not share a failure domain."""

from collections.abc import Iterator, Sequence

from cbstorage.ceph.answers import CrushTree, TreeNode
from cbstorage.ceph.crush import Replication

_TEBIBYTE = 1 << 40


def room_bytes(tree: CrushTree, wanted: Replication, full: float) -> int:
    """Return the bytes that volumes can hold together, each counted once, until OSDs are called full.

    Args:
        full: the share of an OSD at which that is.
    """
    weights = list(_weights(tree, wanted.domain.value))
    return int(most(weights, wanted.copies) * full * _TEBIBYTE)


def most(domains: Sequence[float], copies: int) -> float:
    """Return how much fits when each of it lies in so many domains: the greatest D with `sum(min(d, D)) >= copies * D`.

    A domain holds one copy of all there is at most, so what the largest ones have beyond that is of no use.
    """
    rest = sorted(domains, reverse=True)
    if len(rest) < copies:
        return 0.0
    return min(sum(rest[used:]) / (copies - used) for used in range(copies))


def _weights(tree: CrushTree, domain: str) -> Iterator[float]:
    """What the OSDs in each bucket of a type weigh, in TiB."""
    nodes = {node.id: node for node in tree.nodes}

    def weight(node: TreeNode) -> float:
        own = node.crush_weight if node.type == "osd" else 0.0
        return own + sum(weight(nodes[child]) for child in node.children if child in nodes)

    for node in tree.nodes:
        if node.type == domain:
            yield weight(node)
