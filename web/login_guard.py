"""Slow down whoever guesses passwords."""

from web.throttle import Throttle

PER_S = 300.0
FAILURES_OF_CALLER = 6
"""Of one address at one account."""
FAILURES_OF_ADDRESS = 30
"""Of one address at any account."""
FAILURES_AT_ACCOUNT = 100
"""At one account from anywhere. High, so that a stranger cannot easily lock its owner out."""


class LoginGuard:
    """Counts failed logins by caller, by address and by account."""

    def __init__(self) -> None:
        self._callers = Throttle(failures=FAILURES_OF_CALLER, per_s=PER_S)
        self._addresses = Throttle(failures=FAILURES_OF_ADDRESS, per_s=PER_S)
        self._accounts = Throttle(failures=FAILURES_AT_ACCOUNT, per_s=PER_S)

    def check(self, address: str, account: str) -> None:
        """Raise TooManyFailures while this caller has to wait."""
        self._callers.check(f"{address} {account}")
        self._addresses.check(address)
        self._accounts.check(account)

    def failed(self, address: str, account: str) -> None:
        """Count one failure."""
        self._callers.failed(f"{address} {account}")
        self._addresses.failed(address)
        self._accounts.failed(account)
