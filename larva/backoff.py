"""Try again what may work later: after growing, jittered pauses, with a log line each, within a bound."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from larva.errors import LarvaError

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0


def retry(
    attempt: Callable[[], T],
    *,
    on: type[LarvaError],
    patience_s: float,
    doing: str,
    longest_pause_s: float = LONGEST_PAUSE_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Return what `attempt` returns, calling it again as long as it raises `on`.

    Args:
        on: the error that time may heal; every other one passes at once.
        patience_s: seconds after which the last error passes too.
        doing: for the log: "reach the server".
        longest_pause_s: where the pauses stop growing. Each is drawn between half and the whole of twice the last one,
            so that many hosts that failed together do not come back together.
    """
    deadline = clock() + patience_s
    longest = FIRST_PAUSE_S
    while True:
        try:
            return attempt()
        except on as error:
            left = deadline - clock()
            if left <= 0:
                raise
            pause = min(random.uniform(longest / 2, longest), left)  # noqa: S311 - jitter, no secret
            log.warning("cannot %s yet: %s; trying again in %.1f s (%.0f s left)", doing, error.message, pause, left)
            sleep(pause)
            longest = min(2 * longest, longest_pause_s)
