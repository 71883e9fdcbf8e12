"""The signature on one value of etcd: over the key it stands under and every byte of it, as its last JSON member.

Signed is the text itself, not what a reader makes of it: a field that is added later is covered, and a reader of
another release finds the same bytes. The key names CLADNet and host, so a value is good nowhere else.
"""

import base64
import re
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_DOMAIN = b"larva: value in etcd, 1\0"
"""Keeps these apart from everything else that the same keys sign: certificates, revocation lists, requests, TLS."""
_MEMBER = re.compile(rb',"signature":"([A-Za-z0-9+/]{80,120}={0,2})"\}\Z')
"""ECDSA on P-256 takes 70 to 72 bytes of DER (RFC 3279, section 2.2.3), seldom a few fewer."""
_ALGORITHM = ec.ECDSA(hashes.SHA256())


def signed(key: str, body: bytes, private_key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a JSON object with its signature.

    Args:
        key: of etcd, under which it is going to stand.
        body: a JSON object that has members.
    """
    if not body.startswith(b"{") or not body.endswith(b"}") or len(body) < 3:
        raise ValueError("only a JSON object with members can carry a signature")
    signature = private_key.sign(_message(key, body), _ALGORITHM)
    return body[:-1] + b',"signature":"' + base64.b64encode(signature) + b'"}'


def split(raw: bytes) -> tuple[bytes, bytes]:
    """Return the value as it was signed, and the signature; the value and nothing if it carries none."""
    found = _MEMBER.search(raw)
    if found is None:
        return raw, b""
    return raw[: found.start()] + b"}", base64.b64decode(found[1])


def holds(key: str, body: bytes, signature: bytes, public_key: ec.EllipticCurvePublicKey) -> bool:
    """Whether the signature was made over this value, for this key of etcd, by the holder of the private key."""
    try:
        public_key.verify(signature, _message(key, body), _ALGORITHM)
    except InvalidSignature:
        return False
    return True


def _message(key: str, body: bytes) -> bytes:
    name = key.encode(errors="surrogateescape")
    return _DOMAIN + struct.pack(">I", len(name)) + name + body
