"""Which kinds of values carry a signature in etcd, and whose."""

from typing import TypeVar

T = TypeVar("T")

BY_CA: set[type] = set()
"""What the system says: signed with the CA's key, which only control nodes have."""
BY_HOST: set[type] = set()
"""What a host says of itself: signed with the key of the client certificate that it carries.

Such a kind has the fields `host` and `certificate` (DER, base64)."""


def signed_by_ca(kind: type[T]) -> type[T]:
    """Class decorator: values of this kind count in etcd only with the CA's signature."""
    BY_CA.add(kind)
    return kind


def signed_by_host(kind: type[T]) -> type[T]:
    """Class decorator: values of this kind count in etcd only with the signature of the host that they are about."""
    BY_HOST.add(kind)
    return kind
