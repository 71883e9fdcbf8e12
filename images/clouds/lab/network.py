"""The lab's network: an internet, one gateway per cloud in front of it, and a namespace per host.

Everything is made inside of namespaces that carry the run id in their names; the namespace of this machine gets no
interface, no route and no rule, and two labs cannot meet.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pyroute2.netns
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from images.clouds.lab.topology import TRANSIT, Cloud, Host, Topology
from larva import files, process
from larva.errors import LarvaError

NETNS_DIRECTORY = Path("/run/netns")
PREFIX = "larva-"
BRIDGE = "exchange"
WAN, LAN, HOST_INTERFACE = "wan", "lan", "eth0"

# Local administration bit set (IEEE 802): 02:4c = the lab; then the kind and the number.
_MAC = "02:4c:{kind:02x}:00:{high:02x}:{low:02x}"


@dataclass(frozen=True, slots=True)
class Names:
    """Names of a lab's namespaces."""

    run_id: str

    @property
    def internet(self) -> str:
        """Where the clouds meet."""
        return f"{PREFIX}{self.run_id}-internet"

    def gateway(self, cloud: str) -> str:
        """The gateway of a cloud."""
        return f"{PREFIX}{self.run_id}-gw-{cloud}"

    def host(self, host: str) -> str:
        """The network of a host."""
        return f"{PREFIX}{self.run_id}-vm-{host}"

    def lasting(self, topology: Topology) -> tuple[str, ...]:
        """Return the namespaces that are there as long as the lab; a host's is made anew whenever it is switched on."""
        return (self.internet, *(self.gateway(cloud.name) for cloud in topology.clouds))


def uplink(cloud: str) -> str:
    """Return the interface in the internet that leads to a cloud's gateway."""
    return f"up-{cloud}"


def wan_mac(number: int) -> str:
    """Return the hardware address of the gateway of cloud `number` (from 0) in the internet."""
    return _MAC.format(kind=1, high=0, low=number + 1)


def host_mac(number: int) -> str:
    """Return the hardware address of host `number` (from 0)."""
    return _MAC.format(kind=2, high=number >> 8, low=number & 255)


def transit_address(number: int) -> IPv4Address:
    """Return the address of the gateway of cloud `number` (from 0) in the internet."""
    return TRANSIT.network_address + number + 1


def path_of(namespace: str) -> Path:
    """Return the file that holds a namespace by its name."""
    return NETNS_DIRECTORY / namespace


def existing(prefix: str) -> tuple[str, ...]:
    """Return the namespaces whose names start so."""
    with contextlib.suppress(FileNotFoundError):
        return tuple(sorted(entry.name for entry in NETNS_DIRECTORY.iterdir() if entry.name.startswith(prefix)))
    return ()


def add_namespace(name: str) -> None:
    """Make a namespace."""
    process.run(["ip", "netns", "add", name], timeout=20)


def remove_namespace(name: str) -> None:
    """Remove a namespace and all in it; nothing happens when it is not there."""
    if not path_of(name).exists():
        return
    try:
        process.run(["ip", "netns", "delete", name], timeout=20)
    except LarvaError:
        if path_of(name).exists():  # half made by a process that was killed: a file with nothing mounted on it
            path_of(name).unlink()


def build(names: Names, topology: Topology) -> None:
    """Make the internet and the gateways in namespaces that are there already and empty."""
    _shell(names.internet, _QUIET)
    batch(names.internet, internet_links(names, topology))
    for number, cloud in enumerate(topology.clouds):
        _shell(names.gateway(cloud.name), _QUIET + "echo 1 >/proc/sys/net/ipv4/ip_forward")
        batch(names.gateway(cloud.name), gateway_links(topology, number))
        translate(names, topology, cloud.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cable:
    """How a host is plugged in, each time that it is switched on; unplugged, it falls silent at once.

    The two files hold commands of `ip -batch`: whoever plugs it in needs no more than them and the names.
    """

    namespace: str
    """From where the host is reached by its private address; a light machine's own."""
    gateway: str
    port: str
    """The gateway's end."""
    mac: str
    """Of the host's card."""
    mtu: int
    """Of the network that it leads to, bytes."""
    port_file: Path
    address_file: Path

    def write(self, names: Names, topology: Topology, host: Host) -> None:
        """Write down the addresses that the topology has for the host now."""
        cloud = topology.cloud(host.cloud)
        number = topology.hosts.index(host)
        port = tap_port(cloud, number) if host.is_vm else host_port(names, host, cloud, number)
        for file, commands in (
            (self.port_file, port),
            (self.address_file, host_addresses(host, cloud)),
        ):
            files.write_whole(file, "".join(f"{command}\n" for command in commands))

    def unplug(self) -> None:
        """Take the host off its network; nothing happens when it is not plugged in."""
        process.run(["ip", "-netns", self.gateway, "link", "delete", self.port], timeout=20, ok_codes=(0, 1))


def cable(names: Names, topology: Topology, host: Host, directory: Path) -> Cable:
    """Return how a host of the topology is plugged in; its files are in `directory`."""
    number = topology.hosts.index(host)
    gateway = names.gateway(host.cloud)
    return Cable(
        namespace=gateway if host.is_vm else names.host(host.name),
        gateway=gateway,
        port=f"h{number}",
        mac=host_mac(number),
        mtu=topology.cloud(host.cloud).mtu,
        port_file=directory / f"{host.name}.port",
        address_file=directory / f"{host.name}.addresses",
    )


def internet_links(names: Names, topology: Topology) -> Iterator[str]:
    """Return the commands of `ip -batch` for the internet: a switch with one port per cloud."""
    yield "link set lo up"
    yield f"link add {BRIDGE} type bridge stp_state 0 mcast_snooping 0"
    yield f"link set {BRIDGE} up"
    for number, cloud in enumerate(topology.clouds):
        yield (
            f"link add {uplink(cloud.name)} type veth "
            f"peer name {WAN} address {wan_mac(number)} netns {names.gateway(cloud.name)}"
        )
        yield f"link set {uplink(cloud.name)} master {BRIDGE} up"


def gateway_links(topology: Topology, number: int) -> Iterator[str]:
    """Return the commands of `ip -batch` for the gateway of cloud `number`.

    Neighbours are permanent: a cloud that is cut off swallows packets in silence, as the internet does, instead of
    answering that a host is unreachable.
    """
    cloud = topology.clouds[number]
    yield "link set lo up"
    yield f"link add {LAN} type bridge stp_state 0 mcast_snooping 0"
    yield f"link set {LAN} mtu {cloud.mtu} up"
    yield f"address add {cloud.gateway}/{cloud.private.prefixlen} dev {LAN}"
    yield f"address add {transit_address(number)}/{TRANSIT.prefixlen} dev {WAN}"
    yield f"link set {WAN} up"
    yield f"route add blackhole {cloud.public} metric 4294967295"
    for other, peer in enumerate(topology.clouds):
        if other != number:
            yield f"neighbour add {transit_address(other)} lladdr {wan_mac(other)} dev {WAN} nud permanent"
            yield f"route add {peer.public} via {transit_address(other)} dev {WAN}"


def host_port(names: Names, host: Host, cloud: Cloud, number: int) -> Iterator[str]:
    """Return the commands of `ip -batch` in the gateway that give a host its port on the private network."""
    yield (
        f"link add h{number} mtu {cloud.mtu} type veth "
        f"peer name {HOST_INTERFACE} mtu {cloud.mtu} address {host_mac(number)} netns {names.host(host.name)}"
    )
    yield f"link set h{number} master {LAN} up"


def tap_port(cloud: Cloud, number: int) -> Iterator[str]:
    """Return the commands of `ip -batch` in the gateway that make a virtual machine's port; its card is QEMU's."""
    yield f"tuntap add dev h{number} mode tap"
    yield f"link set h{number} mtu {cloud.mtu} master {LAN} up"


def host_addresses(host: Host, cloud: Cloud) -> Iterator[str]:
    """Return the commands of `ip -batch` in the host's namespace that give it its address and default route."""
    yield "link set lo up"
    yield f"address flush dev {HOST_INTERFACE} scope global"
    yield f"address add {host.private}/{cloud.private.prefixlen} dev {HOST_INTERFACE}"
    yield f"link set {HOST_INTERFACE} up"
    yield f"route replace default via {cloud.gateway} dev {HOST_INTERFACE}"


def translation(hosts: Sequence[Host]) -> str:
    """Return the gateway's nftables rules: one to one, also when a host calls a neighbour by its public address."""
    if not hosts:
        return "flush ruleset\n"
    inward = ", ".join(f"{host.public} : {host.private}" for host in hosts)
    outward = ", ".join(f"{host.private} : {host.public}" for host in hosts)
    return f"""flush ruleset
table ip cloud {{
    chain inbound {{
        type nat hook prerouting priority dstnat
        dnat to ip daddr map {{ {inward} }}
    }}
    chain outbound {{
        type nat hook postrouting priority srcnat
        oifname "{WAN}" snat to ip saddr map {{ {outward} }}
        iifname "{LAN}" oifname "{LAN}" ct status dnat snat to ip saddr map {{ {outward} }}
    }}
}}
"""


def translate(names: Names, topology: Topology, cloud: str) -> None:
    """Make a gateway translate as the topology says, for flows that exist as well as for new ones."""
    namespace = names.gateway(cloud)
    rules = translation(topology.hosts_of(cloud))
    process.run(["ip", "netns", "exec", namespace, "nft", "-f", "-"], input=rules.encode(), timeout=20)
    _forget_flows(namespace)


def readdress(names: Names, topology: Topology, host: Host) -> None:
    """Give a running host the addresses that the topology has for it now."""
    batch(names.host(host.name), host_addresses(host, topology.cloud(host.cloud)))


def set_uplink(names: Names, cloud: str, *, up: bool) -> None:
    """Cut a cloud off from the internet, or join it again."""
    batch(names.internet, [f"link set {uplink(cloud)} {'up' if up else 'down'}"])


def switch(names: Names, clouds: Iterable[Cloud], *, on: bool) -> None:
    """Let the internet's switch carry frames between the clouds, or leave that to a relay."""
    port = f"master {BRIDGE}" if on else "nomaster"
    batch(names.internet, [f"link set {uplink(cloud.name)} {port}" for cloud in clouds])


# The clouds speak IPv4 only; and bridged frames must not pass the rules for routed packets (br_netfilter, on wherever
# Docker runs), or neighbours that call each other by public addresses would see private ones.
_QUIET = """
for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do test ! -e $f || echo 1 >$f; done
f=/proc/sys/net/bridge/bridge-nf-call-iptables; test ! -e $f || echo 0 >$f
"""


def batch(namespace: str, commands: Iterable[str]) -> None:
    """Run commands of `ip -batch` in a namespace."""
    text = "".join(f"{command}\n" for command in commands)
    process.run(["ip", "-netns", namespace, "-batch", "-"], input=text.encode(), timeout=20)


def _shell(namespace: str, script: str) -> None:
    process.run(["ip", "netns", "exec", namespace, "/bin/sh", "-euc", script], timeout=20)


def _forget_flows(namespace: str) -> None:
    """Empty a namespace's table of tracked connections, in a thread: this one stays where it is."""
    failures: list[BaseException] = []

    def forget() -> None:
        try:
            pyroute2.netns.setns(str(path_of(namespace)))
            with NFCTSocket() as table:
                table.flush()
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            failures.append(error)

    thread = threading.Thread(target=forget, name="larva-lab-conntrack")
    thread.start()
    thread.join()
    if failures:
        raise LarvaError(f"cannot reset the flows of {namespace}: {failures[0]}") from failures[0]
