"""Curve25519 keys as text: 32 bytes in base64, as WireGuard and NaCl write them."""

import base64
import binascii

from larva.errors import MalformedData

KEY_BYTES = 32


def raw(text: str) -> bytes:
    """Return the 32 bytes of a key.

    Only the one way of writing them is taken: base64 leaves two bits over, and a key that could be written in four ways
    would pass for four keys.

    Raises:
        MalformedData: it is no key.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedData(f"{_short(text)} is no Curve25519 key: it is not base64") from error
    if len(key) != KEY_BYTES:
        raise MalformedData(f"{_short(text)} is no Curve25519 key: {len(key)} bytes instead of {KEY_BYTES}")
    if base64.b64encode(key).decode() != text:
        raise MalformedData(f"{_short(text)} is no Curve25519 key: its last bits are not zero")
    return key


def is_key(text: str) -> bool:
    """Whether this is a key, written as it should be."""
    try:
        raw(text)
    except MalformedData:
        return False
    return True


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")
