"""What an agent's process does without."""

import sys

OPENSSL = ("_ssl", "_hashlib")
"""Python's own modules over OpenSSL. gRPC and cryptography bring theirs; a third one takes 6 MB. Python can be built
without, and what imports `ssl`, `hashlib` and `hmac` in its library looks whether it was."""


def without_openssl() -> None:
    """Let Python's own OpenSSL not be loaded in this process, unless it is already.

    `None` is how the language's reference (the import system, "The module cache") says that a module is not to be had.
    """
    modules: dict[str, object] = sys.modules  # type: ignore[assignment]
    for name in OPENSSL:
        modules.setdefault(name, None)
