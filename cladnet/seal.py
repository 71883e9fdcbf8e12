"""Seal secrets so that only one host opens them, whoever reads etcd: NaCl sealed boxes (X25519, XSalsa20-Poly1305)."""

import base64

from cladnet import curve25519
from larva.errors import MalformedData, Refused


def seal(public_key_b64: str, data: bytes) -> bytes:
    """Return `data` so that only the holder of the private key reads it.

    Args:
        public_key_b64: the host's `seal_key`: 32 bytes, base64.

    Raises:
        MalformedData: that is no such key.
    """
    from nacl.exceptions import CryptoError  # by whom there is something to seal: agents have nothing
    from nacl.public import PublicKey, SealedBox

    key = PublicKey(curve25519.raw(public_key_b64))
    try:
        return SealedBox(key).encrypt(data)
    except (CryptoError, RuntimeError) as error:  # libsodium refuses the dozen points that give everybody one secret
        raise MalformedData(f"nothing can be sealed to the key {public_key_b64}: it is of low order") from error


def open_sealed(private_key_b64: str, data: bytes) -> bytes:
    """Return what was sealed for the key's owner.

    Args:
        private_key_b64: `Identity.seal_private`: 32 bytes, base64.

    Raises:
        MalformedData: the key is none.
        Refused: the box was sealed for somebody else, or was changed.
    """
    from nacl.exceptions import CryptoError
    from nacl.public import PrivateKey, SealedBox

    try:
        return SealedBox(PrivateKey(curve25519.raw(private_key_b64))).decrypt(data)
    except CryptoError as error:
        raise Refused(
            "a sealed secret cannot be opened with this host's key",
            hint="it was sealed for another key; have the secret granted again",
        ) from error


def new_pair() -> tuple[str, str]:
    """Return a fresh private and public key, each 32 bytes in base64; WireGuard's keys have the same form."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # commands have no use for it

    private = X25519PrivateKey.generate()
    return _b64(private.private_bytes_raw()), _b64(private.public_key().public_bytes_raw())


def public_of(private_key_b64: str) -> str:
    """Return the public key that belongs to a private one; MalformedData if it is none."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    private = X25519PrivateKey.from_private_bytes(curve25519.raw(private_key_b64))
    return _b64(private.public_key().public_bytes_raw())


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
