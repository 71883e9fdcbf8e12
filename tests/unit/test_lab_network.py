"""The lab's network as it is planned: names, commands and rules, before any kernel sees them."""

from ipaddress import IPv4Address
from pathlib import Path

from images.clouds.lab import helpers, network, topology_toml

PLAN = topology_toml.default()
NAMES = network.Names("run1")
IFNAMSIZ = 16


def commands() -> list[str]:
    """Every `ip` command of the default lab."""
    found = [*network.internet_links(NAMES, PLAN)]
    for number, _ in enumerate(PLAN.clouds):
        found += network.gateway_links(PLAN, number)
    for number, host in enumerate(PLAN.hosts):
        cloud = PLAN.cloud(host.cloud)
        found += [*network.host_port(NAMES, host, cloud, number), *network.host_addresses(host, cloud)]
    return found


def test_every_namespace_carries_the_run_id() -> None:
    names = [*NAMES.lasting(PLAN), *(NAMES.host(host.name) for host in PLAN.hosts)]
    assert len(names) == len(set(names)) == 1 + len(PLAN.clouds) + len(PLAN.hosts)
    assert all(name.startswith("larva-run1-") for name in names)


def test_no_interface_name_is_too_long_with_the_longest_cloud_name() -> None:
    assert len(network.uplink("a" * 12)) < IFNAMSIZ
    added = [command.split()[2] for command in commands() if command.startswith("link add")]
    assert added
    assert all(len(name) < IFNAMSIZ for name in added)


def test_hardware_addresses_are_unique_local_and_unicast() -> None:
    words = " ".join(commands()).split()
    macs = [
        words[index + 1] for index, word in enumerate(words) if word == "address" and words[index + 1].count(":") == 5
    ]
    assert len(macs) == len(set(macs)) == len(PLAN.clouds) + len(PLAN.hosts)
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs)


def test_each_gateway_knows_the_way_to_every_other_cloud_and_swallows_its_own_unused_addresses() -> None:
    for number, cloud in enumerate(PLAN.clouds):
        mine = list(network.gateway_links(PLAN, number))
        for other, peer in enumerate(PLAN.clouds):
            route = f"route add {peer.public} via {network.transit_address(other)} dev wan"
            assert (route in mine) == (other != number)
        assert any(command.startswith(f"route add blackhole {cloud.public} ") for command in mine)


def test_translation_is_one_to_one_both_ways_and_hairpins() -> None:
    rules = network.translation(PLAN.hosts_of("aws"))
    assert "dnat to ip daddr map { 203.0.113.10 : 10.0.0.4, 203.0.113.11 : 10.0.0.5 }" in rules
    back = "snat to ip saddr map { 10.0.0.4 : 203.0.113.10, 10.0.0.5 : 203.0.113.11 }"
    assert f'oifname "wan" {back}' in rules
    assert f'iifname "lan" oifname "lan" ct status dnat {back}' in rules
    assert "203.0.113.75" not in rules


def test_a_cloud_without_hosts_translates_nothing() -> None:
    assert network.translation(()) == "flush ruleset\n"


def test_relay_delays_each_direction_by_half_the_round_trip() -> None:
    spec = helpers.relay_spec(PLAN, Path("/ready"))
    delays = {uplink.interface: uplink.delay_ms for uplink in spec.uplinks}
    assert delays["up-aws"] == {"up-gcp": 150.57 / 2, "up-azure": 262.77 / 2}
    for one, row in delays.items():
        assert one not in row
        for other, delay in row.items():
            assert delays[other][one] == delay
    assert [uplink.mac for uplink in spec.uplinks] == [network.wan_mac(number) for number in range(3)]


def test_readdressed_host_loses_its_old_address_first() -> None:
    host = PLAN.host("gcp-1")
    words = list(network.host_addresses(host, PLAN.cloud("gcp")))
    assert words.index("address flush dev eth0 scope global") < words.index("address add 10.0.0.4/24 dev eth0")
    assert words[-1] == f"route replace default via {IPv4Address('10.0.0.1')} dev eth0"
