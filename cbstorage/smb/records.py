"""What etcd says of SMB gateways, by keys: what does not say what its key says is left out."""

from cbstorage import keys
from cbstorage.records import agreeing
from cbstorage.smb.model import SmbShare, SmbState, SmbUser
from cladnet.etcd.store import Store, Versioned


def shares_on(store: Store, group: str, host: str) -> dict[str, Versioned[SmbShare]]:
    """The shares of one gateway, by volume."""
    found = store.children(keys.smb_shares_on(group, host), SmbShare)
    return agreeing(found, lambda volume, share: (share.host, share.volume) == (host, volume))


def users_on(store: Store, group: str, host: str) -> dict[str, Versioned[SmbUser]]:
    """The users of one gateway, by name."""
    found = store.children(keys.smb_users_on(group, host), SmbUser)
    return agreeing(found, lambda name, user: (user.host, user.user) == (host, name))


def state_of(store: Store, group: str, host: str) -> SmbState | None:
    """How a gateway says that it stands; None before it has said anything."""
    found = store.get(keys.smb_state(group, host), SmbState)
    return found.value if found is not None and found.value.host == host else None
