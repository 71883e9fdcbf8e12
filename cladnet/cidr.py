"""The address range of a CLADNet: what a user may ask for, and a good choice when nobody asks."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network

from larva.errors import Conflict, InvalidInput

SMALLEST_PREFIX = 29
"""A /29 has six host addresses; less is no network of several clouds."""
LARGEST_PREFIX = 8
RECOMMENDED_PREFIX = 24

PRIVATE = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
"""RFC 1918 and the shared space of RFC 6598."""

RESERVED: Mapping[IPv4Network, str] = {
    IPv4Network("169.254.0.0/16"): "link-local; metadata services live there (RFC 3927)",
    IPv4Network("100.100.0.0/16"): "Alibaba Cloud's DNS, NTP and metadata",
    IPv4Network("168.63.129.16/32"): "Azure's DNS and health probes",
    IPv4Network("172.17.0.0/16"): "Docker's default bridge; AWS Cloud9 and SageMaker too",
    IPv4Network("192.168.122.0/24"): "libvirt's default network",
    IPv4Network("10.96.0.0/12"): "Kubernetes' default service range (kubeadm)",
    IPv4Network("10.244.0.0/16"): "Kubernetes' usual pod range (flannel)",
}
"""Ranges that providers and common software keep for themselves on a VM."""

USUAL = tuple(
    IPv4Network(text)
    for text in ("10.0.0.0/15", "10.128.0.0/9", "172.16.0.0/16", "172.31.0.0/16", "192.168.0.0/23", "192.168.122.0/24")
)
"""What providers give a virtual network by default (AWS 10.0/16 and 172.31/16, Azure 10.0/16, GCP 10.128/9): a host
that joins tomorrow is likely to live there, so a recommendation keeps away from them; a user may still ask for them."""


def parse(text: str) -> IPv4Network:
    """Return the range that a user wrote.

    Raises:
        InvalidInput: no IPv4 range, host bits set, too small or too large, not private, reserved by a provider.
    """
    try:
        network = IPv4Network(text.strip(), strict=False)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no IPv4 address range: {error}", hint="write it as 192.168.77.0/24") from error
    if "/" not in text:
        raise InvalidInput(f"{text!r} has no prefix length", hint=f"write it as {network.network_address}/24")
    if str(network.network_address) != text.strip().split("/", 1)[0]:
        raise InvalidInput(f"{text} has host bits set", hint=f"did you mean {network}?")
    if network.prefixlen > SMALLEST_PREFIX:
        raise InvalidInput(
            f"{network} has too few addresses for a CLADNet", hint=f"use a prefix of /{SMALLEST_PREFIX} or shorter"
        )
    if network.prefixlen < LARGEST_PREFIX or not any(network.subnet_of(private) for private in PRIVATE):
        raise InvalidInput(
            f"{network} is not private address space",
            hint=f"take a part of {', '.join(str(private) for private in PRIVATE)}",
        )
    for reserved, why in RESERVED.items():
        if network.overlaps(reserved) and not network.supernet_of(reserved):
            raise InvalidInput(f"{network} lies in {reserved}: {why}", hint="leave it out for a range of your own")
    return network


def check_free(
    network: IPv4Network,
    *,
    cladnets: Mapping[str, IPv4Network],
    host_networks: Mapping[str, Iterable[IPv4Network]],
    hint: str = "choose another range",
) -> None:
    """Raise Conflict, saying whose it is, when `network` overlaps a range in use.

    Args:
        cladnets: name of a CLADNet → its range.
        host_networks: name of a host → the networks it sits in.
        hint: what the reader can do then.
    """
    for name, taken in cladnets.items():
        if network.overlaps(taken):
            raise Conflict(f"{network} overlaps {taken} of CLADNet {name!r}", hint=hint)
    for host, networks in host_networks.items():
        for taken in networks:
            if network.overlaps(taken):
                raise Conflict(f"{network} overlaps {taken}, a network that host {host!r} sits in", hint=hint)


def check_growth(old: IPv4Network, new: IPv4Network) -> None:
    """Raise InvalidInput unless `new` contains `old` whole: every address that was given stays a host's address."""
    if not new.supernet_of(old):
        larger = old.supernet() if old.prefixlen > LARGEST_PREFIX else old
        raise InvalidInput(
            f"a CLADNet's range can only grow: {new} does not contain {old}",
            hint=f"give a range that contains it, as {larger}, or create another CLADNet",
        )


def recommend(taken: Iterable[IPv4Network], *, prefix: int = RECOMMENDED_PREFIX) -> IPv4Network:
    """Return a private range that overlaps nothing in use, nothing reserved, and no provider's default network.

    192.168 comes first, since clouds rarely use it, then 172.16/12, then 10/8; within each the lowest free one from
    the middle on, away from where people begin to count.

    Raises:
        Conflict: nothing of that size is free.
    """
    in_use = tuple(taken)
    for avoided in ((*in_use, *RESERVED, *USUAL), (*in_use, *RESERVED)):
        for text in ("192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8"):
            found = _first_free(IPv4Network(text), avoided, prefix)
            if found is not None:
                return found
    raise Conflict(f"no private range of /{prefix} is free", hint="give a smaller range, or delete a CLADNet")


def _first_free(space: IPv4Network, avoided: tuple[IPv4Network, ...], prefix: int) -> IPv4Network | None:
    if prefix < space.prefixlen:
        return None
    size, base, end = 1 << (32 - prefix), int(space.network_address), int(space.broadcast_address) + 1
    middle = base + max(size, (end - base) // 4 // size * size)
    for start, stop in ((middle, end), (base, middle)):
        at = start
        while at + size <= stop:
            candidate = IPv4Network((at, prefix))
            blocking = [network for network in avoided if network.overlaps(candidate)]
            if not blocking:
                return candidate
            beyond = max(int(network.broadcast_address) + 1 for network in blocking)
            at = -(-max(beyond, at + size) // size) * size  # the next multiple of the size
    return None
