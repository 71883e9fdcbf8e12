"""Who may send into a plaintext tunnel: a table of nftables for each interface.

VXLAN itself takes a packet from whoever knows port and network number. The filter takes it from a peer's endpoint only,
and only with that peer's own overlay address inside; ARP, router advertisements and all else that a mesh of fixed
neighbours does not need are dropped. It is no protection against somebody who can forge the source of a packet.
"""

import json
import shutil
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from larva import process
from larva.errors import LarvaError

PROGRAM = "nft"
_TIMEOUT_S = 20.0
_EARLY = -10
"""Before the appliance's own filter (priority 0), which still has its say."""

Sources = Mapping[IPv4Address, IPv4Address]
"""Overlay address → underlay address of the host whose it is."""


def rules(interface: str, port: int, sources: Sources) -> str:
    """The table as nftables' text; it replaces what is there in one transaction.

    The offsets count bits from the UDP header: 64 of UDP, 64 of VXLAN (RFC 7348, section 5), 112 of Ethernet, whose
    type is the last 16; then 96 to the source of IPv4 (RFC 791), or 64 to that of IPv6 (RFC 8200), whose last 32 bits
    are the host's IPv4 overlay address.
    """
    table = f"table inet {_table(interface)}"
    elements = ", ".join(f"{underlay} . {int(overlay):#x}" for overlay, underlay in sorted(sources.items()))
    return f"""{table}
delete {table}
{table} {{
    set sources {{
        typeof ip saddr . @th,336,32
        {f"elements = {{ {elements} }}" if elements else ""}
    }}
    chain input {{
        type filter hook input priority {_EARLY}; policy accept;
        udp dport {port} jump tunnel
    }}
    chain tunnel {{
        meta nfproto != ipv4 drop
        @th,224,16 0x0800 ip saddr . @th,336,32 @sources accept
        @th,224,16 0x86dd ip saddr . @th,400,32 @sources accept
        drop
    }}
}}
"""


def apply(interface: str, port: int, sources: Sources) -> None:
    """Have exactly this table."""
    process.run([PROGRAM, "-f", "-"], input=rules(interface, port, sources).encode(), timeout=_TIMEOUT_S)


def look(interface: str) -> dict[IPv4Address, IPv4Address] | None:
    """The sources that are let in now; None when there is no such table, or it is not ours to read."""
    words = [PROGRAM, "-j", "list", "set", "inet", _table(interface), "sources"]
    answer = process.run(words, timeout=_TIMEOUT_S, ok_codes=(0, 1))
    return parse(answer)


def parse(answer: str) -> dict[IPv4Address, IPv4Address] | None:
    """Read what `nft -j list set` says."""
    try:
        items: list[dict[str, Any]] = json.loads(answer)["nftables"]
        found = next(item["set"] for item in items if "set" in item)
        pairs = [element["concat"] for element in found.get("elem", [])]
        return {IPv4Address(int(overlay)): IPv4Address(underlay) for underlay, overlay in pairs}
    except (ValueError, KeyError, TypeError, StopIteration, AddressValueError):
        return None


def remove(interface: str) -> None:
    """Have no such table; no error when there is none, or no program that could have made one."""
    if shutil.which(PROGRAM) is None:
        return
    table = f"table inet {_table(interface)}"
    process.run([PROGRAM, "-f", "-"], input=f"{table}\ndelete {table}\n".encode(), timeout=_TIMEOUT_S)


def works() -> bool:
    """Whether the program is there and understands the rules; nothing is changed."""
    if shutil.which(PROGRAM) is None:
        return False
    try:
        process.run([PROGRAM, "-c", "-f", "-"], input=rules("lrv", 1, {}).encode(), timeout=_TIMEOUT_S)
    except LarvaError:
        return False
    return True


def _table(interface: str) -> str:
    return f"larva-{interface}"
