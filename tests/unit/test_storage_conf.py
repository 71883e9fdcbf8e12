"""ceph.conf, keyrings and sealed keys: what daemons are told, and that no secret shows."""

import base64
import configparser
import struct
from ipaddress import IPv4Address, IPv4Network

import pytest

from cbstorage.ceph import cephx, conf, sealed_keys, timing
from cbstorage.ceph.crush import place
from cbstorage.model import Monitor
from cladnet import seal
from cladnet.model import CloudFacts
from larva.errors import Refused

CLUSTER = conf.Cluster(
    fsid="5248e297-0307-4aad-a81e-d3b7ee2f8cd4",
    cidr=IPv4Network("192.168.10.0/26"),
    monitors=(
        Monitor(host="gcp-1", address=IPv4Address("192.168.10.3")),
        Monitor(host="aws-1", address=IPv4Address("192.168.10.2")),
    ),
)
HOST = conf.Host(
    address=IPv4Address("192.168.10.2"), place=place("aws-1", CloudFacts(provider="aws", region="ap-southeast-2"))
)


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


def test_only_addresses_of_the_cladnet_are_advertised() -> None:
    everywhere = parsed(conf.render(CLUSTER, HOST))["global"]
    assert everywhere["public_network"] == everywhere["cluster_network"] == "192.168.10.0/26"
    assert everywhere["public_addr"] == everywhere["cluster_addr"] == "192.168.10.2"
    assert everywhere["ms_bind_msgr1"] == "false"
    assert everywhere["mon_host"] == "[v2:192.168.10.2:3300],[v2:192.168.10.3:3300]"


def test_place_follows_the_cloud() -> None:
    location = parsed(conf.render(CLUSTER, HOST))["osd"]["crush_location"]
    assert (
        location
        == "root=default region=csp.aws zone=zone.aws.ap-southeast-2 datacenter=dc.aws.ap-southeast-2.none host=aws-1"
    )


def test_no_file_outweighs_what_is_derived_from_round_trips() -> None:
    """Ceph prefers a file to the monitors' database, in which the derived settings are."""
    for text in (conf.render(CLUSTER, HOST), conf.render_client(CLUSTER)):
        said = {name for section in parsed(text).values() for name in section}
        assert not said & timing.settings(50).keys()


def test_an_osd_tells_of_a_silent_one_as_soon_as_it_knows() -> None:
    """By Ceph's default it keeps that for up to five seconds, and two of them have to tell."""
    said = parsed(conf.render(CLUSTER, HOST))["global"]
    assert said["osd_mon_report_interval"] == said["osd_heartbeat_interval"] == "1"


def test_equal_input_gives_equal_text_whatever_the_order_of_monitors() -> None:
    turned = conf.Cluster(fsid=CLUSTER.fsid, cidr=CLUSTER.cidr, monitors=CLUSTER.monitors[::-1])
    assert conf.render(turned, HOST) == conf.render(CLUSTER, HOST)


def test_a_client_is_told_no_address_of_its_own() -> None:
    text = conf.render_client(CLUSTER)
    assert "public_addr" not in text
    assert parsed(text)["global"]["fsid"] == CLUSTER.fsid


def test_a_client_that_knows_where_it_is_reads_the_nearest_copy() -> None:
    assert "crush_location" not in parsed(conf.render_client(CLUSTER))["client"]
    located = parsed(conf.render_client(CLUSTER, HOST.place))["client"]
    assert located["crush_location"] == HOST.place.location()


def test_a_key_has_ceph_s_form() -> None:
    raw = base64.b64decode(cephx.new_key(created_s=1_700_000_000))
    kind, seconds, nanoseconds, length = struct.unpack("<HIIH", raw[:12])
    assert (kind, seconds, nanoseconds, length) == (1, 1_700_000_000, 0, 16)
    assert len(raw) == 12 + 16


def test_a_key_stays_out_of_logs() -> None:
    identity = cephx.Identity(entity="client.admin", key="SECRET")
    assert "SECRET" not in repr(identity)
    assert "SECRET" not in f"{identity}"


def test_only_the_host_it_is_sealed_to_opens_a_key() -> None:
    private, public = seal.new_pair()
    other, _ = seal.new_pair()
    key = cephx.new_key(created_s=0)
    sealed = sealed_keys.seal_keys(public, [cephx.Identity(entity="mon.", key=key)])
    assert sealed_keys.open_keys(private, sealed)["mon."].key == key
    assert key not in repr(sealed)
    with pytest.raises(Refused):
        sealed_keys.open_keys(other, sealed)


def test_a_volume_s_key_reaches_one_directory_and_one_namespace() -> None:
    caps = cephx.volume_caps(file_system="fs", path="/volumes/g/a.1", data_pool="d", namespace="volume.g.a.1")
    assert caps["mds"] == "allow rw fsname=fs path=/volumes/g/a.1"
    assert caps["osd"] == "allow rw pool=d namespace=volume.g.a.1"
