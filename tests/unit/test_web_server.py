"""The console's worker: told to end at an awkward moment, and whom it still listens to."""

import signal
from types import SimpleNamespace

import pytest
from gunicorn.workers.gthread import PollableMethodQueue, ThreadWorker

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


@pytest.mark.parametrize(("method", "waited_for"), [("GET", False), ("HEAD", False), ("POST", True), ("DELETE", True)])
def test_who_has_said_all_may_wait_long_for_the_answer(
    monkeypatch: pytest.MonkeyPatch, method: str, waited_for: bool
) -> None:
    worker, connection = ConsoleWorker.__new__(ConsoleWorker), object()
    worker._listened_to = {connection: 0.0}
    found = []
    monkeypatch.setattr(ThreadWorker, "handle_request", lambda *_: found.append(connection in worker._listened_to))
    worker.handle_request(SimpleNamespace(method=method), connection)
    assert found == [waited_for]
