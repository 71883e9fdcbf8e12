"""Shares and their users as desired state in etcd; the gateways realise it."""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cbstorage import keys, records
from cbstorage.smb import records as smb_records
from cbstorage.smb.model import SmbShare, SmbUser
from cbstorage.wanted import mounting, volumes
from cladnet import network_hosts, seal
from cladnet.etcd.store import Condition, Delete, Put, Store
from cladnet.keys import host_information
from cladnet.model import HostNetworkInformation, Role
from larva import codec
from larva.errors import Conflict, InvalidInput, MalformedData, NotFound, TimedOut

MOUNTS = "/srv/smb"
"""Where a volume is mounted that nobody had mounted on the gateway."""
SHORTEST_PASSWORD = 8
POLL_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareView:
    """One share, wanted and as its gateway reports it."""

    group: str
    host: str
    volume: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    serving: bool
    problems: tuple[str, ...]


def gateways(store: Store, group: str) -> tuple[str, ...]:
    """The hosts of a CLADNet that have the role gateway."""
    return tuple(view.host for view in network_hosts.views(store, group) if Role.GATEWAY in view.roles)


def share(
    store: Store, group: str, name: str, host: str, *, writers: Sequence[str] = (), readers: Sequence[str] = ()
) -> SmbShare:
    """Ask a gateway to share a volume with these users, instead of those that it is shared with.

    A volume that is not mounted there yet is mounted at /srv/smb/NAME.

    Raises:
        NotFound: no such volume, or the host is no gateway.
        InvalidInput: nobody is named, or a name cannot be an account's.
        Conflict: somebody else changed it meanwhile.
    """
    _require_gateway(store, group, host)
    view = volumes.find(store, group, name)
    if not writers and not readers:
        raise InvalidInput("a share needs somebody to share with", hint="--user NAME, or --reader NAME")
    mount = records.wanted_on(store, group, host).get(name)
    current = store.get(keys.smb_share(group, host, name), SmbShare)
    wish = SmbShare(
        volume=name, volume_id=view.id, host=host, writers=tuple(dict.fromkeys(writers)),
        readers=tuple(one for one in dict.fromkeys(readers) if one not in writers),
        mounted_for_it=current.value.mounted_for_it if current and mount else mount is None,
    )  # fmt: skip
    _check(wish, SmbShare)
    if mount is None:
        mounting.mount(store, group, name, [host], f"{MOUNTS}/{name}")
    if current is None:
        store.create(keys.smb_share(group, host, name), wish)
    else:
        store.replace(current, wish)
    return wish


def unshare(store: Store, group: str, name: str, host: str) -> None:
    """Ask a gateway to share a volume no more; it is unmounted there if it was mounted for the share only.

    Raises:
        NotFound: that host does not share it.
    """
    current = store.get(keys.smb_share(group, host, name), SmbShare)
    if current is None:
        raise NotFound(f"{host} does not share volume {name}", hint="`larva smb list` shows what is shared")
    mount = records.mounts_on(store, group, host).get(name)
    ours = mount is not None and current.value.mounted_for_it and mount.value.path == f"{MOUNTS}/{name}"
    operations = [Delete(current.key), *([Delete(mount.key)] if mount is not None and ours else [])]
    if not store.transact([Condition(current.key, current.revision)], operations):
        raise Conflict(f"somebody else changed the share of {name} meanwhile", hint="look, then retry")


def set_password(store: Store, group: str, user: str, password: str, hosts: Sequence[str] = ()) -> tuple[str, ...]:
    """Give a user a password on gateways, sealed to each; return their names.

    Args:
        hosts: gateways; every one of the CLADNet without them.

    Raises:
        InvalidInput: the name or the password cannot be used, or there is no gateway.
        NotFound: a host is no gateway.
    """
    if len(password) < SHORTEST_PASSWORD or not password.isprintable():
        raise InvalidInput(
            f"the password is not {SHORTEST_PASSWORD} printable characters or more", hint="choose a longer one"
        )
    there = gateways(store, group)
    if not there:
        raise InvalidInput(f"CLADNet {group} has no gateway", hint="launch a VM with the role gateway")
    for host in hosts:
        _require_gateway(store, group, host)
    chosen = tuple(hosts) or there
    for host in chosen:
        information = store.get(host_information(group, host), HostNetworkInformation)
        if information is None:
            raise NotFound(f"{host} has told nothing of itself yet", hint="`larva net hosts` shows how it stands")
        box = base64.b64encode(seal.seal(information.value.seal_key, password.encode())).decode()
        wish = SmbUser(user=user, host=host, seal_key=information.value.seal_key, box=box)
        _check(wish, SmbUser)
        store.put(keys.smb_user(group, host, user), wish)
    return chosen


def remove_user(store: Store, group: str, user: str) -> tuple[str, ...]:
    """Let a user in nowhere any more: accounts go, and the name goes from every share; return the gateways.

    Raises:
        NotFound: no gateway knows it.
        Conflict: somebody else changed a share meanwhile.
    """
    hosts = tuple(host for host in gateways(store, group) if user in smb_records.users_on(store, group, host))
    named = [
        item
        for host in gateways(store, group)
        for item in smb_records.shares_on(store, group, host).values()
        if user in (*item.value.writers, *item.value.readers)
    ]
    if not hosts and not named:
        raise NotFound(f"no gateway of {group} knows a user {user}", hint="`larva smb list` shows who is let in")
    conditions = [Condition(item.key, item.revision) for item in named]
    shares = [Put(item.key, _without(item.value, user)) for item in named]
    if not store.transact(conditions, [*shares, *(Delete(keys.smb_user(group, host, user)) for host in hosts)]):
        raise Conflict("somebody else changed a share meanwhile", hint="retry")
    return tuple(dict.fromkeys([*hosts, *(item.value.host for item in named)]))


def list_all(store: Store, group: str) -> tuple[ShareView, ...]:
    """Every share of a CLADNet, by gateway and volume."""
    found = []
    for host in gateways(store, group):
        state = smb_records.state_of(store, group, host)
        for name, item in sorted(smb_records.shares_on(store, group, host).items()):
            about = tuple(one for one in state.problems if one.startswith(f"{name}:")) if state else ()
            found.append(
                ShareView(
                    group=group, host=host, volume=name, writers=item.value.writers, readers=item.value.readers,
                    serving=state is not None and name in state.serving,
                    problems=about if state else ("the gateway has not answered yet",),
                )
            )  # fmt: skip
    return tuple(found)


def wait_serving(store: Store, group: str, name: str, host: str, *, timeout_s: float) -> None:
    """Wait until a share can be reached; TimedOut with the gateway's words otherwise."""
    deadline = time.monotonic() + timeout_s
    while True:
        view = next(one for one in list_all(store, group) if (one.host, one.volume) == (host, name))
        if view.serving:
            return
        if time.monotonic() > deadline:
            raise TimedOut(
                f"{host} does not serve {name} after {timeout_s:g} s: {'; '.join(view.problems)}",
                hint=f"on {host}: journalctl -u larva-storage -u larva-smb",
            )
        time.sleep(POLL_S)


def _without(wish: SmbShare, user: str) -> SmbShare:
    return replace(
        wish,
        writers=tuple(one for one in wish.writers if one != user),
        readers=tuple(one for one in wish.readers if one != user),
    )


def _require_gateway(store: Store, group: str, host: str) -> None:
    there = gateways(store, group)
    if host not in there:
        raise NotFound(
            f"{host} is no gateway of CLADNet {group}",
            hint=f"gateways: {', '.join(there)}" if there else "launch a VM with the role gateway",
        )


def _check(value: object, kind: type[object]) -> None:
    """Refuse what no reader would take."""
    try:
        codec.decode(codec.encode(value), kind, source="what was asked for")
    except MalformedData as error:
        raise InvalidInput(
            "a user's name has 2 to 24 lower-case letters, digits and hyphens, and begins with a letter",
            hint="choose another name",
        ) from error
