"""A service's end: the signals by which systemd and a terminal ask for it."""

import signal
import threading
from types import FrameType


def on_signal() -> threading.Event:
    """Return what is set once SIGTERM or SIGINT comes; from the main thread."""
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return stop
