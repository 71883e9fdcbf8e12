"""What was handed out under a seal: checksums of its files, signed with minisign; read here without that program.

The forms are those of https://jedisct1.github.io/minisign/, chapters "Signature format" and "Public key format".
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from larva.errors import MalformedData, NotFound, Refused

SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.minisig"
LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._+-]+)")
MOST_BYTES = 1 << 20
"""Of checksums, signature and key: who put something else there is not read to its end."""

_TRUSTED = b"trusted comment: "
_KEY, _PLAIN, _HASHED = b"Ed", b"Ed", b"ED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What was signed of a directory."""

    comment: str
    sha256: dict[str, str]
    """Of each file, by its name; none leads out of the directory."""


def public_key(directory: Path) -> Path:
    """Return where, in a directory for configuration, the public key lies whose images are believed."""
    return directory / "image-signing.pub"


def read(directory: Path, public: Path) -> Seal:
    """Return what the key signed of a directory; the files themselves are not looked at.

    Raises:
        NotFound: there is no seal, or no key to check it with.
        Refused: the signature is not the key's, or is of something else.
        MalformedData: checksums, signature or key have another form.
    """
    key_id, key = _key(public)
    sums, signature = (_content(directory / name, what="seal") for name in (SUMS, SIGNATURE))
    lines = signature.splitlines()
    if len(lines) < 4 or not lines[2].startswith(_TRUSTED):
        raise MalformedData(f"{directory / SIGNATURE} is no signature of minisign")
    signed, comment = _decoded(lines[1], 74, directory / SIGNATURE), lines[2].removeprefix(_TRUSTED)
    method, its_key, by = signed[:2], signed[2:10], signed[10:]
    if method not in (_PLAIN, _HASHED):
        raise MalformedData(f"{directory / SIGNATURE} is signed by a method that is not known here")
    also = _decoded(lines[3], 64, directory / SIGNATURE)
    content = hashlib.blake2b(sums).digest() if method == _HASHED else sums
    if its_key != key_id or not _verifies(key, by, content) or not _verifies(key, also, by + comment):
        raise Refused(
            f"{directory / SUMS} is not signed by the key {public}",
            hint="do not use this image: it was changed, or is signed by somebody else",
        )
    return Seal(comment=comment.decode(errors="replace").strip(), sha256=parse(sums, source=str(directory / SUMS)))


def parse(sums: bytes, *, source: str) -> dict[str, str]:
    """Return the SHA-256 of each file that checksums list; no name leads out of the directory.

    Raises:
        MalformedData: the list has another form.
    """
    listed = {}
    for line in sums.decode(errors="replace").splitlines():
        found = LINE.fullmatch(line)
        if found is None or found[2] in {".", ".."}:
            raise MalformedData(f"{source} has a line that is no checksum: {line[:200]!r}")
        listed[found[2]] = found[1]
    return listed


def _verifies(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _key(public: Path) -> tuple[bytes, Ed25519PublicKey]:
    lines = [line for line in _content(public, what="key").splitlines() if not line.startswith(b"untrusted comment:")]
    decoded = _decoded(lines[0] if lines else b"", 42, public)
    if not decoded.startswith(_KEY):
        raise MalformedData(f"{public} is no public key of minisign")
    return decoded[2:10], Ed25519PublicKey.from_public_bytes(decoded[10:])


def _content(path: Path, *, what: str) -> bytes:
    hints = {"key": "put the publisher's public key there", "seal": f"fetch {SUMS} and {SIGNATURE} of the image, too"}
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFound(f"{path} is not there", hint=hints[what]) from error
    except OSError as error:
        raise MalformedData(f"{path}: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise MalformedData(f"{path} is longer than {MOST_BYTES} bytes")
    return content


def _decoded(line: bytes, length: int, source: Path) -> bytes:
    try:
        decoded = base64.b64decode(line.strip(), validate=True)
    except binascii.Error:
        decoded = b""
    if len(decoded) != length:
        raise MalformedData(f"{source} is not what minisign writes")
    return decoded
