"""From a host's condition to findings in plain words: a pure function."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from cladnet.datapath.peers import DEAD_AFTER
from cladnet.doctor.condition import CladnetCondition, HostCondition, PeerCondition
from cladnet.model import HostState, Role
from cladnet.quality import AlarmKind
from larva.checks import Finding, Severity

CLOCK_TOLERANCE_S = 5.0
"""Certificates bear an hour. WireGuard refuses handshakes older than the last: a clock that is set back cuts off."""
CERTIFICATE_WARNING = timedelta(days=30)
_NAMED = 5
"""Peers that are named one by one; beyond, they are counted."""


def diagnose(condition: HostCondition) -> tuple[Finding, ...]:
    """Return everything that is wrong on this host, and what is good to know."""
    found = [*_control_plane(condition), *_certificate(condition), *_servers(condition), *_services(condition)]
    serves = set(condition.roles) - {Role.CONTROL}
    if not condition.cladnets and serves and not condition.removed:
        found.append(
            _warning("cladnet", "this host is in no CLADNet", "`larva net list` shows them, `larva net join` adds one")
        )
    for cladnet in condition.cladnets:
        found += _cladnet(condition, cladnet)
    return tuple(found)


def _control_plane(condition: HostCondition) -> Iterator[Finding]:
    silent = {url: why for url, why in condition.etcd.items() if why}
    if silent and len(silent) == len(condition.etcd):
        told = "; ".join(f"{url}: {why}" for url, why in silent.items())
        yield _problem(
            "etcd",
            f"no endpoint answers ({told}); traffic goes on by the rules known, changes do not arrive",
            "check the control nodes (`systemctl status larva-etcd`) and that TCP port 2379 is open from here",
        )
    else:
        for url, why in silent.items():
            yield _warning(
                "etcd", f"{url} does not answer ({why}); the other endpoints do", "check that control node and its port"
            )
    if condition.removed:
        yield _problem(
            "enrolment",
            f"the system knows no host {condition.host}: it was removed",
            "`larva join` with a new token enrols it again",
        )
    if condition.console_problem:
        yield _warning(
            "console", condition.console_problem, "check `systemctl status larva-console` there, and TCP port 8443"
        )
    ahead = condition.clock_ahead_s
    if ahead is not None and abs(ahead) > CLOCK_TOLERANCE_S:
        yield _problem(
            "clock",
            f"this clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the control plane's",
            "have it set by NTP: `timedatectl set-ntp true`, then `timedatectl timesync-status`",
        )


def _certificate(condition: HostCondition) -> Iterator[Finding]:
    until = condition.certificate_until
    if until is None:
        yield _problem("certificate", "this host has no client certificate to read", "enrol it again with `larva join`")
        return
    left = until - condition.looked_at
    if left <= timedelta():
        yield _problem(
            "certificate", f"it expired on {until:%Y-%m-%d}", "enrol this host again: `larva join` with a new token"
        )
    elif left < CERTIFICATE_WARNING:
        yield _warning(
            "certificate",
            f"it expires on {until:%Y-%m-%d}, in {left.days} days",
            "the agent renews it at any console and could not: `journalctl -u larva-agent` says why; restarted, it "
            "asks again at once (`systemctl restart larva-agent`)",
        )


def _servers(condition: HostCondition) -> Iterator[Finding]:
    """They end all together if nobody looks: the whole control plane would be gone at once."""
    for use, until in condition.servers_until.items():
        left = until - condition.looked_at
        if left < CERTIFICATE_WARNING:
            kind, ends = (_problem, "expired") if left <= timedelta() else (_warning, "expires")
            yield kind(
                "certificate",
                f"that for {use} {ends} on {until:%Y-%m-%d}",
                "`larva control renew` renews it at once, without a restart, or says why it cannot; "
                "`journalctl -u larva-renew` says why its timer did not",
            )


def _services(condition: HostCondition) -> Iterator[Finding]:
    for unit, state in condition.units.items():
        if state != "active":
            yield _problem(
                unit.removesuffix(".service"),
                f"the service is {state or 'not there'}",
                f"`journalctl -u {unit} -n 50` says why; `systemctl restart {unit}` starts it",
            )
    if condition.firewall_loaded is False:
        yield _problem(
            "firewall",
            "the appliance's firewall is not loaded: every port of this machine is open",
            "`systemctl restart larva-firewall`; if it fails, `nft -c -f /etc/larva/nftables.nft` shows the line",
        )


def _cladnet(condition: HostCondition, cladnet: CladnetCondition) -> Iterator[Finding]:
    about = cladnet.name
    if cladnet.problem:
        yield _problem(
            about,
            f"this host cannot join: {cladnet.problem}",
            "create a CLADNet with another range (`larva net recommend`)"
            if "overlaps" in cladnet.problem
            else "give this host an identity of its own: remove /var/lib/larva/identity and enrol it again",
        )
    if cladnet.public_address is None and not cladnet.from_cache:
        yield _warning(
            about,
            "nobody could tell this host's public address: peers in other clouds wait for it to speak first",
            f"check that {condition.server} is reached from here, and that the VM has a public address",
        )
    yield from _refused(cladnet)
    if cladnet.asked_down:
        yield _note(about, f"{cladnet.interface} is down because somebody asked for it", "`larva net up` undoes it")
    elif not cladnet.should_be_up:
        if not cladnet.problem:
            yield _warning(
                about,
                "this host has no networking rule yet",
                "check on a control node: `systemctl status larva-controller`",
            )
    else:
        yield from _interface(cladnet)
        yield from _peers(condition.looked_at, cladnet)


def _refused(cladnet: CladnetCondition) -> Iterator[Finding]:
    for host, why in sorted(cladnet.refused.items())[:_NAMED]:
        yield _problem(
            cladnet.name,
            f"the rule of {host:.63} does not count here: {why}",
            "see on a control node whether larva-controller runs and renews it (`journalctl -u larva-controller`); "
            "if it does, somebody else writes into etcd",
        )
    if len(cladnet.refused) > _NAMED:
        yield _problem(
            cladnet.name,
            f"{len(cladnet.refused) - _NAMED} more rules do not count here",
            "`journalctl -u larva-agent` names each of them",
        )


def _interface(cladnet: CladnetCondition) -> Iterator[Finding]:
    about, name, link = cladnet.name, cladnet.interface, cladnet.link
    restart = "`journalctl -u larva-agent -n 50` says why; `systemctl restart larva-agent` tries again"
    if link is None:
        yield _problem(about, f"the interface {name} is not there", restart)
        return
    if not link.is_up:
        yield _problem(about, f"the interface {name} is down", restart)
    for address in (cladnet.address, cladnet.address6):
        if address is not None and address not in [each.ip for each in link.addresses]:
            has = ", ".join(str(each) for each in link.addresses) or "none"
            yield _problem(about, f"{name} should have the address {address} and has {has}", restart)
    if cladnet.ipv6_problem:
        yield _note(
            about,
            f"this host has {cladnet.ipv6_problem}; IPv4 goes on",
            "`sysctl -w net.ipv6.conf.all.disable_ipv6=0` switches IPv6 on"
            if "kernel" in cladnet.ipv6_problem
            else "choose another prefix: `larva net update --ipv6 off`, then `--ipv6 auto`",
        )
    if cladnet.datapath_problem:
        yield _problem(about, cladnet.datapath_problem, restart)
    elif cladnet.datapath is not None:
        yield _note(about, f"{name} is carried by {cladnet.datapath}: {cladnet.datapath_why}")


def _peers(now: datetime, cladnet: CladnetCondition) -> Iterator[Finding]:
    if cladnet.link is None or cladnet.datapath_problem:
        return  # said already, and why no peer answers
    yield from _alarms(now, cladnet)
    silent = [peer for peer in cladnet.peers if is_silent(peer, now)]
    alive = [peer for peer in cladnet.peers if peer.state is HostState.ACTIVE]
    if alive and all(peer in silent and not peer.last_handshake and not peer.received_bytes for peer in alive):
        yield _problem(
            cladnet.name,
            f"nothing ever came from any of {len(alive)} peers: UDP port {cladnet.listen_port} is probably blocked",
            f"open UDP {cladnet.listen_port} inwards and outwards in the provider's firewall (security group)",
        )
        silent = [peer for peer in silent if peer not in alive]
    for peer in silent[:_NAMED]:
        yield _silent(now, cladnet, peer)
    if len(silent) > _NAMED:
        yield _warning(
            cladnet.name, f"{len(silent) - _NAMED} more peers are silent", "`larva agent status` shows each of them"
        )


_ALARMS = {
    AlarmKind.UNREACHABLE: (
        Severity.PROBLEM,
        "{host} does not answer since {since}: {evidence}",
        "`larva net alarms` tells whether others reach it; check that VM, and the firewalls of both providers",
    ),
    AlarmKind.LOSS: (
        Severity.WARNING,
        "packets on the way to {host} are lost since {since}: {evidence}",
        "`larva net alarms` tells whether others lose them too; else look for a full link or a busy CPU at both ends",
    ),
    AlarmKind.SLOW: (
        Severity.WARNING,
        "{host} is farther away than usual since {since}: {evidence}",
        "a full link, or the providers route otherwise; what lasts for hours becomes the measure and this ends",
    ),
}


def _alarms(now: datetime, cladnet: CladnetCondition) -> Iterator[Finding]:
    """Those that the peers' own state does not tell better."""
    told = {peer.host for peer in cladnet.peers if is_silent(peer, now) or peer.answers}
    alarms = [each for each in cladnet.alarms if each.kind is not AlarmKind.UNREACHABLE or each.destination not in told]
    for alarm in alarms[:_NAMED]:
        severity, what, do = _ALARMS[alarm.kind]
        since = f"{alarm.since:%Y-%m-%d %H:%M:%S %Z}"
        said = what.format(host=alarm.destination, since=since, evidence=alarm.evidence)
        yield Finding(severity=severity, about=cladnet.name, what=said, do=do)
    if len(alarms) > _NAMED:
        yield _warning(
            cladnet.name, f"{len(alarms) - _NAMED} more paths are bad", "`larva agent status` shows them all"
        )


def is_silent(peer: PeerCondition, now: datetime) -> bool:
    """Whether nothing shows that the peer is reached: no recent handshake, and no answer to an echo."""
    if not peer.has_handshakes:
        return peer.answers is False
    return not peer.answers and (peer.last_handshake is None or now - peer.last_handshake > DEAD_AFTER)


def _silent(now: datetime, cladnet: CladnetCondition, peer: PeerCondition) -> Finding:
    where = f" at {peer.endpoint[0]}:{peer.endpoint[1]}" if peer.endpoint else ", whose endpoint nobody knows"
    peer_there = f"{peer.host}{where}"
    if not peer.has_handshakes:
        what = f"no answer from {peer_there}"
    elif peer.last_handshake is None:
        what = f"there never was a handshake with {peer_there}"
    else:
        what = f"no handshake for {_age(now - peer.last_handshake)} with {peer_there}"
    if not peer.in_datapath:
        return _warning(cladnet.name, f"{peer.host} is not in the data path", "`journalctl -u larva-agent` says why")
    if peer.state is HostState.UNREACHABLE:
        return _warning(
            cladnet.name,
            f"{what}; the control plane does not see it either, so it is probably off",
            "start that VM; `larva enrol remove` takes one away that will not come back",
        )
    port = peer.endpoint[1] if peer.endpoint else cladnet.listen_port
    return _problem(
        cladnet.name,
        what,
        f"open UDP {port} in the provider's firewall of {peer.host}, then run `larva doctor` there",
    )


def _age(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 172_800 else f"{seconds // 86_400} days"


def _problem(about: str, what: str, do: str = "") -> Finding:
    return Finding(severity=Severity.PROBLEM, about=about, what=what, do=do)


def _warning(about: str, what: str, do: str = "") -> Finding:
    return Finding(severity=Severity.WARNING, about=about, what=what, do=do)


def _note(about: str, what: str, do: str = "") -> Finding:
    return Finding(severity=Severity.NOTE, about=about, what=what, do=do)
