"""What a client of etcd signs as it writes and checks as it reads, before anybody else sees the value."""

import base64
import binascii
import threading
from collections import OrderedDict
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from cladnet.etcd.cluster import TlsFiles
from cladnet.trust import signature
from cladnet.trust.kinds import BY_CA, BY_HOST
from larva import codec
from larva.errors import MalformedData, NotFound, Refused

T = TypeVar("T")

_REMEMBERED = 8_192
"""Verdicts, some 200 bytes each: an unchanged value is not verified again."""


class Untrusted(MalformedData):
    """A value without the signature that its kind needs: whoever wrote it was not the one who may say so."""

    code = "untrusted"


class Trust:
    """The pinned CA and this client's own keys; safe to share between threads.

    The client's key and certificate are read when something is signed: they may be renewed meanwhile.
    """

    def __init__(self, tls: TlsFiles) -> None:
        self._tls = tls
        self._verdicts: OrderedDict[bytes, str] = OrderedDict()
        self._lock = threading.Lock()

    @cached_property
    def _ca(self) -> x509.Certificate:
        return authority.read_certificate(self._tls.ca.read_text(), source=str(self._tls.ca))

    def encode(self, key: str, value: object) -> bytes:
        """Return a value as it should stand under a key of etcd, signed if its kind needs it.

        Raises:
            Refused: it is for control nodes to say, and this is none.
        """
        kind = type(value)
        if kind in BY_CA:
            return signature.signed(key, codec.encode(value), self._ca_key(key))
        if kind in BY_HOST:
            carried: Any = replace(value, certificate=own_certificate(self._tls))  # type: ignore[type-var]
            return signature.signed(key, codec.encode(carried), authority.read_key(self._tls.key))
        return codec.encode(value)

    def decode(self, key: str, raw: bytes, kind: type[T]) -> T:
        """Return the value of a key.

        Raises:
            MalformedData: it is not a `kind`.
            Untrusted: it lacks the signature that this kind needs.
        """
        if kind not in BY_CA and kind not in BY_HOST:
            return codec.decode(raw, kind, source=key)
        body, signed = signature.split(raw)
        value = codec.decode(body, kind, source=key)
        problem = self._known_problem(key, raw, body, signed, value)
        if problem:
            raise Untrusted(f"{key}: {problem}", hint="somebody else wrote it, or it was written by an earlier release")
        return value

    def _known_problem(self, key: str, raw: bytes, body: bytes, signed: bytes, value: object) -> str:
        place = f"{type(value).__qualname__} {len(key)} {key} ".encode(errors="surrogateescape")
        name = blake2b(place + raw, digest_size=32).digest()
        with self._lock:
            if name in self._verdicts:
                self._verdicts.move_to_end(name)
                return self._verdicts[name]
        problem = self._problem(key, body, signed, value)
        with self._lock:
            self._verdicts[name] = problem
            if len(self._verdicts) > _REMEMBERED:
                self._verdicts.popitem(last=False)
        return problem

    def _problem(self, key: str, body: bytes, signed: bytes, value: Any) -> str:
        if not signed:
            return "it carries no signature"
        if type(value) in BY_CA:
            public = self._ca.public_key()
            ours = isinstance(public, ec.EllipticCurvePublicKey) and signature.holds(key, body, signed, public)
            return "" if ours else "its signature is not the CA's for this key"
        try:
            certificate = read_carried(value.certificate)
        except MalformedData as error:
            return error.message
        if not authority.issued(certificate, by=self._ca):
            return "the certificate it carries is not of this system's CA"
        public = certificate.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey):
            return "the certificate it carries has no key that could sign it"
        if authority.common_name(certificate) != authority.user_name(value.host, authority.key_digest(public)):
            return f"the certificate it carries is not that of {value.host:.63}"
        return "" if signature.holds(key, body, signed, public) else "its signature is not its host's for this key"

    def _ca_key(self, key: str) -> ec.EllipticCurvePrivateKey:
        refusal = Refused(
            f"cannot write {key}: that takes the CA's key, which only control nodes have",
            hint="run this on a control node, as root",
        )
        if self._tls.authority is None:
            raise refusal
        try:
            return Authority.load(self._tls.authority).signing_key
        except (NotFound, PermissionError) as error:
            raise refusal from error


def own_certificate(tls: TlsFiles) -> str:
    """Return a client's certificate as the values that it signs carry it: DER, base64."""
    pem = tls.certificate.read_text()
    certificate = authority.read_certificate(pem, source=str(tls.certificate))
    return base64.b64encode(authority.der(certificate)).decode()


def read_carried(text: str) -> x509.Certificate:
    """Return the certificate that a value carries; MalformedData if it is none."""
    try:
        return x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error) as error:
        raise MalformedData("it carries no certificate of its host") from error
