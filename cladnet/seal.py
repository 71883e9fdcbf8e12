"""Seal secrets so that only one host opens them, whoever reads etcd: NaCl sealed boxes (X25519, XSalsa20-Poly1305)."""

import base64
import binascii

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from larva.errors import MalformedData, Refused

KEY_BYTES = 32


def seal(public_key_b64: str, data: bytes) -> bytes:
    """Return `data` so that only the holder of the private key reads it.

    Args:
        public_key_b64: the host's `seal_key`: 32 bytes, base64.

    Raises:
        MalformedData: that is no such key.
    """
    return SealedBox(PublicKey(_key(public_key_b64))).encrypt(data)


def open_sealed(private_key_b64: str, data: bytes) -> bytes:
    """Return what was sealed for the key's owner.

    Args:
        private_key_b64: `Identity.seal_private`: 32 bytes, base64.

    Raises:
        MalformedData: the key is none.
        Refused: the box was sealed for somebody else, or was changed.
    """
    try:
        return SealedBox(PrivateKey(_key(private_key_b64))).decrypt(data)
    except CryptoError as error:
        raise Refused(
            "a sealed secret cannot be opened with this host's key",
            hint="it was sealed for another key; have the secret granted again",
        ) from error


def new_pair() -> tuple[str, str]:
    """Return a fresh private and public key, each 32 bytes in base64; WireGuard's keys have the same form."""
    private = PrivateKey.generate()
    return _b64(bytes(private)), _b64(bytes(private.public_key))


def public_of(private_key_b64: str) -> str:
    """Return the public key that belongs to a private one; MalformedData if it is none."""
    return _b64(bytes(PrivateKey(_key(private_key_b64)).public_key))


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedData("a Curve25519 key is not base64") from error
    if len(key) != KEY_BYTES:
        raise MalformedData(f"a Curve25519 key has {KEY_BYTES} bytes, this one {len(key)}")
    return key


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
