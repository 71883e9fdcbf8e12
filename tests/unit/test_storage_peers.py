"""What is tried before Ceph can be trusted to speak with its peers: whole packets, every port, clocks."""

from collections.abc import Mapping
from ipaddress import IPv4Address

import pytest

from cbstorage.ceph.answers import AddressVector, OsdEntry, OsdMap, WireAddress
from cbstorage.host import peers
from cbstorage.host.peers import Finding, Skew, TimeSync
from cbstorage.host.preflight import Reach
from cbstorage.model import Monitor
from larva import process
from larva.errors import HostUnfit, MalformedData, ProgramFailed

OWN, NEAR, FAR = (IPv4Address(f"10.0.0.{number}") for number in (1, 2, 3))
MONITORS = tuple(Monitor(host=f"h{one}", address=one) for one in (OWN, NEAR))


def entry(osd: int, address: IPv4Address, *, up: int = 1) -> OsdEntry:
    public, cluster = (
        AddressVector(addrvec=(WireAddress(type="v2", addr=f"{address}:{port}"),)) for port in (6800, 6802)
    )
    return OsdEntry(osd=osd, uuid="u", up=up, public_addrs=public, cluster_addrs=cluster)


OSD_MAP = OsdMap(osds=(entry(0, OWN), entry(1, FAR), entry(2, NEAR, up=0)), pools=())


def check(
    *, silent: tuple[int, ...] = (), largest: int = 1500, skews: Mapping[str, float] | None = None
) -> list[Finding]:
    return peers.check(
        OWN, 1420, peers.targets(MONITORS, OSD_MAP),
        TimeSync(time_skew_status={name: Skew(skew=skew) for name, skew in (skews or {}).items()}),
        reach=lambda own, peer, port: Reach(answers=port not in silent, words="it answers or not"),
        passes=lambda own, peer, size: size <= largest,
    )  # fmt: skip


def test_everything_that_others_listen_on_is_tried() -> None:
    found = check(skews={"h1": 0.001})
    assert all(one.ok and not one.remedy for one in found)
    assert [one.about for one in found] == [
        f"packets of 1420 bytes to {NEAR}", f"packets of 1420 bytes to {FAR}", f"mon.h{NEAR} at {NEAR}:3300",
        f"osd.1 at {FAR}:6800", f"osd.1 at {FAR}:6802", "clock of monitor h1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("found", "wrong", "remedy"),
    [
        (check(silent=(6802,)), [f"osd.1 at {FAR}:6802"], "TCP 6802 must pass"),
        (check(largest=1000), [f"packets of 1420 bytes to {one}" for one in (NEAR, FAR)], "fragmentation needed"),
        (check(largest=0), [f"packets of 1420 bytes to {one}" for one in (NEAR, FAR)], "larva net hosts"),
        (check(skews={"a": 0.01, "b": -2.0}), ["clock of monitor b"], "timedatectl"),
    ],
)
def test_what_is_wrong_names_its_remedy(found: list[Finding], wrong: list[str], remedy: str) -> None:
    bad = [one for one in found if not one.ok]
    assert [one.about for one in bad] == wrong
    assert all(remedy in one.remedy for one in bad)


def test_a_cluster_without_time_checks_is_no_trouble() -> None:
    assert peers.check(OWN, 1420, (), TimeSync(), reach=_never, passes=lambda *_: False) == []


def _never(*_: object) -> Reach:
    raise AssertionError("there is nobody to try")


@pytest.mark.parametrize("addr", ["10.0.0.1", "10.0.0.1:x", "10.0.0.1:123456", "10.0.0.1:²"])
def test_an_address_without_a_port_is_malformed(addr: str) -> None:
    with pytest.raises(MalformedData):
        WireAddress(type="v2", addr=addr).port()


def test_ping_is_told_not_to_fragment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    answer: list[str | Exception] = ["2 packets transmitted, 1 received, 50% packet loss"]

    def run(argv: list[str], **_: object) -> str:
        seen[:] = argv
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]

    monkeypatch.setattr(process, "run", run)
    assert peers.passes(OWN, NEAR, 1420)
    assert seen[seen.index("-s") + 1] == "1392"
    assert seen[seen.index("-M") + 1] == "do"
    answer[0] = "2 packets transmitted, 0 received, +2 errors"
    assert not peers.passes(OWN, NEAR, 1420)
    answer[0] = ProgramFailed("ping: local error: message too long")
    assert not peers.passes(OWN, NEAR, 1420)
    answer[0] = HostUnfit("cannot run ping: No such file or directory")
    with pytest.raises(HostUnfit):
        peers.passes(OWN, NEAR, 1420)
