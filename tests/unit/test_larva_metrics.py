"""Metrics as Prometheus reads them, and the server that hands them out."""

import re
import socket
import time
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larva import metrics_server
from larva.errors import InvalidInput, Unavailable
from larva.metrics import Family, Kind, Registry, labels, render
from larva.metrics_server import served

SAMPLE = re.compile(r'^([a-z_]+)(?:\{([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"\})? (\S+)$')


def test_a_family_is_told_with_its_help_its_type_and_its_samples() -> None:
    family = Family("larva_x_total", Kind.COUNTER, "Of\nx.", ((labels(peer="a", way="in"), 3.0), ((), 0.25)))
    assert render([family]) == (
        "# HELP larva_x_total Of\\nx.\n"
        "# TYPE larva_x_total counter\n"
        'larva_x_total{peer="a",way="in"} 3\n'
        "larva_x_total 0.25\n"
    )
    assert render([Family("larva_none", Kind.GAUGE, "Nothing.", ())]) == ""


@given(st.text(), st.floats())
def test_whatever_a_label_holds_one_line_tells_it_and_it_can_be_read_back(text: str, value: float) -> None:
    line = render([Family("larva_x", Kind.GAUGE, "X.", ((labels(peer=text), value),))]).split("\n", 2)[2]
    found = SAMPLE.match(line.removesuffix("\n"))
    assert found, line
    assert re.sub(r"\\(.)", lambda each: "\n" if each[1] == "n" else each[1], found[3]) == text
    read = float(found[4])
    assert read == value or (read != read and value != value)


def test_what_a_process_counts_is_served_and_one_source_that_fails_hides_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = Registry()
    counter = registry.counter("larva_tries_total", "Tries.")

    def failing() -> list[Family]:
        raise Unavailable("the driver does not answer")

    def defective() -> list[Family]:
        return [Family("larva_none", Kind.GAUGE, "None.", (((), [][0]),))]

    registry.collect_from(failing)
    registry.collect_from(defective)
    registry.collect_from(lambda: [Family("larva_last", Kind.GAUGE, "Last.", (((), 1.0),))])
    counter.add(endpoint="one")
    counter.add(2, endpoint="one")
    with served("127.0.0.1:0", registry) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = answer.read().decode()
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/etc/passwd", timeout=20)
        assert error.value.code == 404
        error.value.close()
    assert 'larva_tries_total{endpoint="one"} 3\n' in text
    assert text.startswith("# HELP larva_build_info ")
    assert text.endswith("larva_last 1\n")
    assert "the driver does not answer" in caplog.text
    assert "IndexError" in caplog.text


def test_a_taken_port_costs_the_metrics_and_nothing_else() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with served(f"127.0.0.1:{other.getsockname()[1]}", Registry()) as port:
            assert port is None
    with served("off", Registry()) as port:
        assert port is None


@pytest.mark.parametrize("address", ["9101", ":9101", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="no address"), served(address, Registry()):
        pass


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics?x=1 HTTP/1.0\n\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\nHost: me\r\nAccept: */*\r\n\r\n", b"200"),
        (b"GET /metrics/x HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"\r\n", b"400"),
        (b"\xff" * 10_000, b"400"),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 2000 + b"\r\n", b"400"),
        (b"", None),
        (b"GET /metrics HTTP/1.1\r\nHost: ", b"400"),
    ],
)
def test_whatever_a_reader_sends_it_is_answered_and_so_is_the_next(request_: bytes, status: bytes | None) -> None:
    with served("127.0.0.1:0", Registry()) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as reader:
            answer = b""
            try:
                reader.sendall(request_)
                reader.shutdown(socket.SHUT_WR)
                while data := reader.recv(4096):
                    answer += data
            except OSError:  # what nobody read of the request is the kernel's reason to reset
                assert len(request_) > 8192
        if status is not None and answer:
            assert answer.split()[1] == status
            assert len(answer.partition(b"\r\n\r\n")[2]) == int(answer.split(b"Content-Length: ")[1].split()[0])
        else:
            assert not answer
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as again:
            assert again.status == 200


@pytest.mark.parametrize("request_", [b"", b"GET /metrics HTTP/1.1\r\n\r\n"])
def test_who_drips_or_never_takes_the_answer_is_hung_up_on(request_: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a request every moment for as long as the server likes; or, with a whole one, no byte taken of much."""
    monkeypatch.setattr(metrics_server, "PATIENCE_S", 0.3)
    registry = Registry()
    samples = tuple((labels(peer=f"{number:0200}"), 1.0) for number in range(50_000))
    registry.collect_from(lambda: [Family("larva_x", Kind.GAUGE, "X.", samples)])
    with served("127.0.0.1:0", registry) as port, socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", port))
        reader.sendall(request_)
        hung_up = False
        deadline = time.monotonic() + 60
        while not hung_up and time.monotonic() < deadline:
            try:
                reader.sendall(b"X")
            except OSError:
                hung_up = True
            time.sleep(0.02)
        assert hung_up
        with pytest.raises(urllib.error.HTTPError, match="404") as error:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20)
        error.value.close()
