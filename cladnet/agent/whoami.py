"""Asking the control plane from which address it sees this host."""

import http.client
import ssl
import urllib.request
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from larva import codec
from larva.errors import Unavailable

TIMEOUT_S = 5.0
_LONGEST_ANSWER = 4096


def ask_public_address(server: str, ca: Path, *, timeout: float = TIMEOUT_S) -> IPv4Address:
    """Ask the control plane from which address it sees this host: `GET {server}/v1/whoami`.

    Args:
        ca: PEM file of the system's CA, which has signed the server's certificate.

    Raises:
        Unavailable: no answer, or the server is not who it should be.
        MalformedData: the answer is no address.
    """
    url = f"{server.rstrip('/')}/v1/whoami"
    try:
        context = ssl.create_default_context(cafile=str(ca)) if url.startswith("https:") else None
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *_https(context))
        with opener.open(url, timeout=timeout) as response:
            answer = response.read(_LONGEST_ANSWER)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"cannot ask {url} for this host's public address: {error}") from error
    return codec.decode(answer, _Whoami, source=url).address


def _https(context: ssl.SSLContext | None) -> tuple[urllib.request.BaseHandler, ...]:
    return (urllib.request.HTTPSHandler(context=context),) if context is not None else ()


@dataclass(frozen=True, slots=True)
class _Whoami:
    address: IPv4Address
