"""The console's worker, told to end at an awkward moment."""

import signal
from types import SimpleNamespace

from gunicorn.workers.gthread import PollableMethodQueue

from web.server import ConsoleWorker


def test_a_console_that_is_told_to_end_while_it_begins_ends() -> None:
    worker = ConsoleWorker.__new__(ConsoleWorker)
    worker.app, worker.alive, worker.method_queue = SimpleNamespace(callable=None), True, PollableMethodQueue()
    worker.method_queue.init()
    try:
        worker.handle_exit(signal.SIGTERM, None)
    finally:
        worker.method_queue.close()
    assert not worker.alive
