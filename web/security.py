"""What browsers are told to forbid, and the check that a request comes from our own pages."""

from urllib.parse import urlsplit

from flask import Flask, Request, Response, request

_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
CONTENT_SECURITY_POLICY = "; ".join(_POLICY)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # not less: over TLS the CSRF check wants to see our own pages' addresses
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def _harden(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if not request.path.startswith("/static/"):
        response.headers["Cache-Control"] = "no-store"
    return response


def register(app: Flask) -> None:
    """Send the headers with every answer."""
    app.after_request(_harden)


def from_our_pages(handshake: Request) -> bool:
    """Whether a WebSocket handshake comes from a page of this very origin.

    Browsers apply neither CORS nor, always, SameSite to WebSockets, so the server has to look (RFC 6455, §10.2).
    """
    try:
        origin = urlsplit(handshake.headers.get("Origin", ""))
    except ValueError:
        return False
    return origin.scheme == handshake.scheme.replace("ws", "http") and origin.netloc == handshake.host
