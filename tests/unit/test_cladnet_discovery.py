"""What a host finds out about itself."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from cladnet.agent import discovery, whoami
from cladnet.model import CloudFacts, NetworkInterface
from larva.errors import MalformedData, Unavailable

OWN = (NetworkInterface(name="eth0", mtu=1500, addresses=(IPv4Interface("10.0.0.4/24"),)),)
NOWHERE = Path("/nonexistent")


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """Answers every request with `server.answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.answer)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        http.answer = b'{"address": "203.0.113.9"}'
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield http
        http.shutdown()
        thread.join()


def url(server: HTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_the_control_plane_tells_the_public_address(server: HTTPServer) -> None:
    assert whoami.ask_public_address(url(server), NOWHERE) == IPv4Address("203.0.113.9")


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"address": "me"}', b'{"address": "::1"}', b"<html>"])
def test_an_answer_that_is_no_address_is_refused(server: HTTPServer, answer: bytes) -> None:
    server.answer = answer
    with pytest.raises(MalformedData):
        whoami.ask_public_address(url(server), NOWHERE)


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        whoami.ask_public_address("http://127.0.0.1:9", NOWHERE)
    with pytest.raises(Unavailable):
        whoami.ask_public_address("https://127.0.0.1:9", NOWHERE)


@pytest.mark.parametrize(
    ("seen", "is_control", "metadata", "expected"),
    [
        ("203.0.113.9", False, None, "203.0.113.9"),
        ("203.0.113.9", False, "203.0.113.1", "203.0.113.9"),  # now beats boot time
        ("10.0.0.4", False, "203.0.113.1", "203.0.113.1"),  # no translation in between: the same network
        ("10.0.0.4", False, None, "10.0.0.4"),
        ("127.0.0.1", True, None, "127.0.0.1"),  # the server is this very host: what others call it
        ("127.0.0.1", False, None, None),
    ],
)
def test_what_is_seen_is_weighed_with_what_is_known(
    server: HTTPServer, seen: str, is_control: bool, metadata: str | None, expected: str | None
) -> None:
    server.answer = json.dumps({"address": seen}).encode()
    found = discovery.public_address(
        OWN, servers=(url(server),), ca=NOWHERE, is_control=is_control, known=None,
        metadata=IPv4Address(metadata) if metadata else None, ask=whoami.ask_public_address,
    )  # fmt: skip
    assert (str(found) if found else None) == expected


def test_what_was_known_stands_while_nobody_answers() -> None:
    known = IPv4Address("203.0.113.5")
    found = discovery.public_address(
        OWN,
        servers=("http://127.0.0.1:9",),
        ca=NOWHERE,
        is_control=False,
        known=known,
        metadata=None,
        ask=whoami.ask_public_address,
    )
    assert found == known


def test_the_next_console_is_asked_where_one_does_not_answer(server: HTTPServer) -> None:
    server.answer = json.dumps({"address": "203.0.113.7"}).encode()
    found = discovery.public_address(
        OWN,
        servers=("http://127.0.0.1:9", url(server)),
        ca=NOWHERE,
        is_control=False,
        known=None,
        metadata=None,
        ask=whoami.ask_public_address,
    )
    assert found == IPv4Address("203.0.113.7")


EC2 = {
    "v1": {"cloud_name": "aws", "region": "ap-southeast-2", "availability_zone": "ap-southeast-2a"},
    "ds": {
        "meta_data": {
            "public-ipv4": "203.0.113.1",
            "network": {
                "interfaces": {"macs": {"02:00": {"device-number": "0", "vpc-id": "vpc-1", "subnet-id": "subnet-1"}}}
            },
        }
    },
}


@pytest.mark.parametrize(
    ("data", "cloud"),
    [
        (EC2, CloudFacts(provider="aws", region="ap-southeast-2", zone="ap-southeast-2a", network_id="vpc-1",
                         subnet_id="subnet-1")),
        ({"v1": {"cloud_name": "gce", "region": "europe-west2"}}, CloudFacts(provider="gcp", region="europe-west2")),
        ({"v1": {"cloud_name": "aliyun"}}, CloudFacts(provider="alibaba")),
        ({"v1": {"cloud_name": "unknown", "region": None}}, CloudFacts()),
        ({"v1": [], "ds": {"meta_data": "?"}}, CloudFacts()),
        ({}, CloudFacts()),
    ],
)  # fmt: skip
def test_the_providers_facts_are_read(data: dict[str, object], cloud: CloudFacts) -> None:
    assert discovery.parse_metadata(data).cloud == cloud


def test_metadata_is_read_from_the_file_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "instance-data.json"
    assert discovery.metadata(file) == discovery.Metadata(CloudFacts(), None)
    file.write_text("{")
    assert discovery.metadata(file) == discovery.Metadata(CloudFacts(), None)
    file.write_text(json.dumps(EC2))
    assert discovery.metadata(file).public_address == IPv4Address("203.0.113.1")


def test_user_data_overrides_fact_by_fact() -> None:
    found = CloudFacts(provider="aws", region="r", zone="z")
    assert discovery.overridden(found, CloudFacts(zone="y", network_id="n")) == CloudFacts(
        provider="aws", region="r", zone="y", network_id="n"
    )


def test_the_interfaces_of_this_host_leave_loopback_out() -> None:
    assert all(interface.name != "lo" and interface.addresses for interface in discovery.interfaces())
