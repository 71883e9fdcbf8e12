"""The etcd key layout v0.2: what is watched, then the big unit, then the small one. No key starts with a slash."""

import re
from ipaddress import IPv4Address

from larva.errors import InvalidInput

ROOT = "cloud-adaptive-network"

CONFIGURATION = f"{ROOT}/configuration-information/"
HOST_INFORMATION = f"{ROOT}/host-network-information/"
ADDRESS = f"{ROOT}/address/"
RELEASED = f"{ROOT}/released-address/"
RULE = f"{ROOT}/networking-rule/"
COMMAND = f"{ROOT}/control-command/"
TEST_SPECIFICATION = f"{ROOT}/status/test-specification/"
STATUS = f"{ROOT}/status/information/"
QUALITY = f"{ROOT}/status/quality/"
PRESENCE = f"{ROOT}/presence/"
CLOUD_OVERRIDE = f"{ROOT}/cloud-override/"
TOKEN = "larva/token/"  # noqa: S105 - a key's prefix, not a secret
ENROLLED_HOST = "larva/host/"
REVOKED = "larva/revoked/"
REVOCATIONS = "larva/revocations"
"""RevocationList: what all of them come to, for every host to read."""
CONTROL_PLANE = "larva/control-plane"
UPDATE_TURN = "larva/update-turn/"
"""The queue of control nodes that would restart etcd (`cladnet.etcd.turn`)."""
CLADNET_GENERATION = "larva/cladnet-generation"
"""Counts creations: every one depends on it, so that two at once cannot both take a name or a range."""

_LONGEST_SHOWN = 80
_SEGMENT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def segment(name: str, *, what: str = "name") -> str:
    """Return `name` if it can be one part of a key and a host name (RFC 1123 label, lower case).

    Raises:
        InvalidInput: anything else; slashes above all, since they would move a key into another host's.
    """
    if not is_segment(name):
        raise InvalidInput(
            f"{what} {name[:_LONGEST_SHOWN]!r} is not usable",
            hint="use up to 63 small letters, digits and hyphens; start and end with a letter or digit",
        )
    return name


def is_segment(name: str) -> bool:
    """Whether segment() would take it."""
    return _SEGMENT.fullmatch(name) is not None


def configuration(group: str) -> str:
    """CladnetSpecification of one CLADNet."""
    return CONFIGURATION + segment(group, what="CLADNet id")


def host_information(group: str, host: str) -> str:
    """HostNetworkInformation of one host, written by that host only."""
    return f"{hosts_of(group)}{segment(host, what='host')}"


def hosts_of(group: str) -> str:
    """Prefix of every HostNetworkInformation of a CLADNet."""
    return f"{HOST_INFORMATION}{segment(group, what='CLADNet id')}/"


def _ip(ip: object) -> IPv4Address:
    """An overlay address, as the last part of a key."""
    try:
        return IPv4Address(str(ip))
    except ValueError as error:
        raise InvalidInput(f"{str(ip)[:_LONGEST_SHOWN]!r} is no IPv4 address") from error


def address(group: str, ip: object) -> str:
    """The claim on one overlay address; its value is the host."""
    return f"{addresses_of(group)}{_ip(ip)}"


def addresses_of(group: str) -> str:
    """Prefix of every address claim of a CLADNet."""
    return f"{ADDRESS}{segment(group, what='CLADNet id')}/"


def released(group: str, ip: object) -> str:
    """ReleasedAddress: an overlay address that rests."""
    return f"{released_of(group)}{_ip(ip)}"


def released_of(group: str) -> str:
    """Prefix of every address of a CLADNet that rests."""
    return f"{RELEASED}{segment(group, what='CLADNet id')}/"


def rule(group: str, host: str) -> str:
    """NetworkingRule: how to reach one host."""
    return f"{rules_of(group)}{segment(host, what='host')}"


def rules_of(group: str) -> str:
    """Prefix of every NetworkingRule of a CLADNet."""
    return f"{RULE}{segment(group, what='CLADNet id')}/"


def command(group: str, host: str) -> str:
    """ControlCommand for one host."""
    return f"{commands_of(group)}{segment(host, what='host')}"


def commands_of(group: str) -> str:
    """Prefix of every ControlCommand of a CLADNet."""
    return f"{COMMAND}{segment(group, what='CLADNet id')}/"


def test_specification(group: str) -> str:
    """TestSpecification of a CLADNet."""
    return TEST_SPECIFICATION + segment(group, what="CLADNet id")


def status(group: str, host: str) -> str:
    """HostStatus: one host's row of the latency matrix."""
    return f"{statuses_of(group)}{segment(host, what='host')}"


def statuses_of(group: str) -> str:
    """Prefix of every row of a CLADNet's latency matrix."""
    return f"{STATUS}{segment(group, what='CLADNet id')}/"


def cloud_override(group: str, host: str) -> str:
    """CloudOverride: facts that count instead of the host's own, written by the API."""
    return f"{cloud_overrides_of(group)}{segment(host, what='host')}"


def cloud_overrides_of(group: str) -> str:
    """Prefix of every override of a CLADNet's hosts' cloud facts."""
    return f"{CLOUD_OVERRIDE}{segment(group, what='CLADNet id')}/"


def quality(group: str, host: str) -> str:
    """HostQuality: what one host measures all the time, and its alarms."""
    return f"{qualities_of(group)}{segment(host, what='host')}"


def qualities_of(group: str) -> str:
    """Prefix of every HostQuality of a CLADNet."""
    return f"{QUALITY}{segment(group, what='CLADNet id')}/"


def presence(group: str, host: str) -> str:
    """A key on the host's lease: there as long as its agent reaches etcd."""
    return f"{presences_of(group)}{segment(host, what='host')}"


def presences_of(group: str) -> str:
    """Prefix of every presence of a CLADNet."""
    return f"{PRESENCE}{segment(group, what='CLADNet id')}/"


def token(digest: str) -> str:
    """An enrolment token, by the SHA-256 of its secret."""
    return TOKEN + segment(digest[:40], what="token digest")


def enrolled_host(host: str) -> str:
    """EnrolledHost: who holds a client certificate."""
    return ENROLLED_HOST + segment(host, what="host")


def revoked(serial: str) -> str:
    """RevokedCertificate, by the serial number in hexadecimal."""
    return REVOKED + segment(serial, what="serial number")


def child(prefix: str, key: str) -> str | None:
    """The name right below `prefix` that a key ends with; None for a key that none of the functions above makes."""
    name = key.removeprefix(prefix)
    return name if key.startswith(prefix) and is_segment(name) else None


def last_segment(key: str) -> str:
    """The small unit a key ends with: a host, an address, a CLADNet id."""
    return key.rsplit("/", 1)[-1]
