"""A stream that only the holder of a passphrase or of a private key reads, and that nobody changes or cuts unnoticed.

Layout: a magic line; the length of the header and the header, JSON, which says how the stream's key is wrapped; then
libsodium's secretstream (XChaCha20-Poly1305): its own header and chunks of one size, the last one tagged as the end.
Each chunk authenticates those before it, the first one the header too.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from nacl import bindings, pwhash
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.utils import random

from cladnet import seal
from larva import codec
from larva.errors import InvalidInput, MalformedData, Refused

MAGIC = b"larva-vault-1\n"
CHUNK_BYTES = 1 << 16
SHORTEST_PASSPHRASE = 12
"""Characters. Whoever has the file may try passphrases for as long as he likes."""

OPERATIONS = pwhash.argon2id.OPSLIMIT_MODERATE
MEMORY_BYTES = pwhash.argon2id.MEMLIMIT_MODERATE
"""Argon2id as libsodium advises for secrets that are used now and then: 256 MiB, some 0.7 s."""
_MOST_OPERATIONS = pwhash.argon2id.OPSLIMIT_SENSITIVE
_MOST_MEMORY_BYTES = pwhash.argon2id.MEMLIMIT_SENSITIVE
"""What a header may ask for: a file from outside must not make its reader swap."""

_MOST_HEADER_BYTES = 4096
_STREAM_HEADER = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_OVERHEAD = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """How the stream's key is wrapped: with a passphrase when there is a salt, else sealed to a public key."""

    wrapped: str
    """Base64."""
    recipient: str = ""
    """The public key, base64."""
    salt: str = ""
    """Base64."""
    operations: int = 0
    memory_bytes: int = 0


class Secret(Protocol):
    """What opens a vault."""

    def unwrap(self, header: Header) -> bytes:
        """Return the stream's key; Refused if this is not what opens it."""


class Lock(Protocol):
    """What closes a vault."""

    def wrap(self, key: bytes) -> Header:
        """Return the header that lets the right secret find the key."""


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Opens and closes."""

    text: str

    def __post_init__(self) -> None:
        if len(self.text) < SHORTEST_PASSPHRASE:
            raise InvalidInput(
                f"the passphrase is shorter than {SHORTEST_PASSPHRASE} characters",
                hint="whoever gets hold of the file may try passphrases without end; take several words",
            )

    def __repr__(self) -> str:
        return "Passphrase(…)"

    def wrap(self, key: bytes) -> Header:
        """Return the header that lets the same passphrase find the key."""
        salt = random(pwhash.argon2id.SALTBYTES)
        box = SecretBox(self._derive(salt, OPERATIONS, MEMORY_BYTES))
        return Header(wrapped=_b64(box.encrypt(key)), salt=_b64(salt), operations=OPERATIONS, memory_bytes=MEMORY_BYTES)

    def unwrap(self, header: Header) -> bytes:
        """Return the key; Refused if it is another passphrase's."""
        if not header.salt:
            raise Refused(
                f"it was made for the holder of a private key, public key {header.recipient}, not for a passphrase",
                hint="give that key with --key-file",
            )
        fits = 1 <= header.operations <= _MOST_OPERATIONS and 1 << 13 <= header.memory_bytes <= _MOST_MEMORY_BYTES
        salt = _raw(header.salt)
        if not fits or len(salt) != pwhash.argon2id.SALTBYTES:
            raise MalformedData("its header is damaged")
        try:
            box = SecretBox(self._derive(salt, header.operations, header.memory_bytes))
            return box.decrypt(_raw(header.wrapped))
        except CryptoError as error:
            raise Refused("the passphrase is not the one it was made with") from error

    def _derive(self, salt: bytes, operations: int, memory_bytes: int) -> bytes:
        return pwhash.argon2id.kdf(SecretBox.KEY_SIZE, self.text.encode(), salt, operations, memory_bytes)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Closes only: a Curve25519 public key, base64."""

    public_key: str

    def wrap(self, key: bytes) -> Header:
        """Return the header that lets the private key's holder find the key; MalformedData if that is no key."""
        return Header(wrapped=_b64(seal.seal(self.public_key, key)), recipient=self.public_key)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """Opens what was made for the recipient that it belongs to; base64."""

    private_key: str

    def __repr__(self) -> str:
        return "PrivateKey(…)"

    def unwrap(self, header: Header) -> bytes:
        """Return the key; Refused if it was wrapped otherwise."""
        if header.salt:
            raise Refused("it was made with a passphrase, not for a private key", hint="give the passphrase")
        if header.recipient != (mine := seal.public_of(self.private_key)):
            raise Refused(f"it was made for the public key {header.recipient}; this private key is that of {mine}")
        return seal.open_sealed(self.private_key, _raw(header.wrapped))


class Writer:
    """Writes a vault into a file; without finish() nobody will take it for a whole one."""

    def __init__(self, file: BinaryIO, lock: Lock) -> None:
        key = bindings.crypto_secretstream_xchacha20poly1305_keygen()
        header = codec.encode(lock.wrap(key))
        preamble = MAGIC + len(header).to_bytes(4, "big") + header
        self._file = file
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        file.write(preamble + bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, key))
        self._bound: bytes | None = hashlib.sha256(preamble).digest()
        self._pending = bytearray()

    def write(self, data: bytes) -> None:
        """Add data."""
        self._pending += data
        while len(self._pending) > CHUNK_BYTES:
            self._push(bytes(self._pending[:CHUNK_BYTES]), _MESSAGE)
            del self._pending[:CHUNK_BYTES]

    def finish(self) -> None:
        """Mark the end."""
        self._push(bytes(self._pending), _FINAL)

    def _push(self, chunk: bytes, tag: int) -> None:
        self._file.write(
            bindings.crypto_secretstream_xchacha20poly1305_push(self._state, chunk, ad=self._bound, tag=tag)
        )
        self._bound = None


def read(file: BinaryIO, secret: Secret) -> Iterator[bytes]:
    """Yield what a vault holds, in pieces; each is authentic, and the last came only if the iteration ends well.

    Raises:
        MalformedData: it is no vault, was damaged, changed or cut.
        Refused: the secret does not open it.
    """
    magic = file.read(len(MAGIC))
    length = file.read(4)
    if magic != MAGIC or len(length) != 4 or (size := int.from_bytes(length, "big")) > _MOST_HEADER_BYTES:
        raise MalformedData("it is not a backup made by `larva control backup`")
    text = file.read(size)
    key = secret.unwrap(codec.decode(text, Header, source="its header"))
    start = file.read(_STREAM_HEADER)
    if len(key) != bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES or len(start) != _STREAM_HEADER:
        raise MalformedData("it ends in the middle: it was cut")
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, start, key)
    bound: bytes | None = hashlib.sha256(magic + length + text).digest()
    tag = _MESSAGE
    while tag != _FINAL:
        sealed = file.read(CHUNK_BYTES + _OVERHEAD)
        if len(sealed) < _OVERHEAD:
            raise MalformedData("it ends in the middle: it was cut")
        try:
            chunk, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, sealed, ad=bound)
        except (CryptoError, RuntimeError) as error:
            raise MalformedData("it was changed, damaged or cut: it is not what was written") from error
        bound = None
        if tag == _FINAL and file.read(1):
            raise MalformedData("something was added at its end")
        yield chunk


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _raw(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise MalformedData("its header is damaged") from error
