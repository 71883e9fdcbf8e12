"""How far this clock is from the server's, asked of a real server."""

import http.server
import threading
import time
from collections.abc import Iterator

import pytest

from cladnet.doctor.clock import skew_s
from larva.errors import MalformedData, Unavailable


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers with what the class was told to say as its date."""

    date = ""

    def do_GET(self) -> None:
        self.send_response_only(401)  # whoever asks need not be let in
        self.send_header("Date", self.date or self.date_time_string())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a server on loopback."""
    Answering.date = ""
    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join(timeout=20)


def test_the_difference_is_told_with_its_sign(server: str) -> None:
    assert abs(skew_s(server)) < 60  # a busy machine may take a while
    assert 3540 < skew_s(server, clock=lambda: time.time() + 3600) < 3660
    assert -3660 < skew_s(server, clock=lambda: time.time() - 3600) < -3540


def test_what_is_no_date_and_who_does_not_answer_are_told_apart(server: str) -> None:
    Answering.date = "yesterday"
    with pytest.raises(MalformedData, match="yesterday"):
        skew_s(server)
    with pytest.raises(Unavailable, match="does not answer"):
        skew_s("https://127.0.0.1:1")
