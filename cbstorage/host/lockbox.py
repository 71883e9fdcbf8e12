"""The key of an encrypted OSD: kept by the monitors, read by an identity that may read it and nothing else.

So does ceph-volume: `osd new` stores key and identity with the OSD, `osd destroy` and `osd purge` delete both
(KVMonitor::do_osd_new, AuthMonitor::do_osd_destroy). On the host is only the identity's own key, 0600.
"""

import base64
import binascii
import re
import secrets
import time
from pathlib import Path

from cbstorage.ceph import cephx
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from larva import files
from larva.errors import HostUnfit, MalformedData, NotFound, Refused

KEY_BYTES = 32
_SECRET = re.compile(r"^\tkey = (\S+)$", re.MULTILINE)


def entity(uuid: str) -> str:
    """The identity that reads one OSD's key; `osd new` gives it this name."""
    return f"client.osd-lockbox.{uuid}"


def new_key() -> str:
    """Return a fresh key for a device: 256 random bits, base64."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def prepare(uuid: str, fsid: str) -> str:
    """Return the cephx key of an OSD's identity, made and written down by the first call."""
    path = keyring(uuid, fsid)
    if not path.exists():
        made = cephx.Identity(entity=entity(uuid), key=cephx.new_key(created_s=int(time.time())))
        files.write_once(path, cephx.keyring(made), mode=files.SECRET)
    found = _SECRET.search(path.read_text())
    if found is None or not cephx.is_key(found[1]):
        raise MalformedData(f"{path} holds no key", hint="the OSD cannot be opened by this host; replace it")
    return found[1]


def keyring(uuid: str, fsid: str) -> Path:
    """Where the identity's key is kept on this host."""
    return local.private_directory("lockbox", fsid) / f"{uuid}.keyring"


def forget(uuid: str, fsid: str) -> None:
    """Delete the identity's key from this host."""
    keyring(uuid, fsid).unlink(missing_ok=True)


def fetch(uuid: str, fsid: str) -> bytes:
    """Return the key of an OSD's device, as the monitors have it.

    Raises:
        Unavailable: no quorum answers.
        NotFound: they have none, or know this host's identity no more.
        HostUnfit: this host never had the identity, or lost it.
    """
    path = keyring(uuid, fsid)
    if not path.exists():
        raise HostUnfit(
            f"this host has no identity to fetch the key of the encrypted OSD {uuid}",
            hint="a host installed anew opens none of its earlier encrypted OSDs; `larva storage osd remove N --lost`",
        )
    try:
        with Monitors(local.CONFIGURATION, entity=entity(uuid), keyring=path) as monitors:
            key = monitors.run("config-key get", key=f"dm-crypt/osd/{uuid}/luks")
    except (Refused, NotFound) as error:
        raise NotFound(
            f"the monitors have no key of the encrypted OSD {uuid} for this host",
            hint="was it removed from the cluster? then nobody can read it any more",
        ) from error
    return _checked(key, uuid)


def _checked(key: bytes, uuid: str) -> bytes:
    try:
        length = len(base64.b64decode(key, validate=True))
    except binascii.Error:
        length = 0
    if length != KEY_BYTES:
        raise MalformedData(f"what the monitors have as the key of the encrypted OSD {uuid} is none")
    return key
