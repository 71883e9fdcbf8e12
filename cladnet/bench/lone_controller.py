"""The controller alone, until it is told to end: `python -m cladnet.bench.lone_controller` as the control node."""

import signal
import threading

from cladnet.control.controller import Controller
from cladnet.etcd.store import Store


def main() -> None:
    """Run it with the certificate of the state directory."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    with Store.of_this_host() as store:
        Controller(store).run(stop)


if __name__ == "__main__":
    main()
