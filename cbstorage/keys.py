"""Where storage lives in etcd: `cb-storage/{what}/{group}/{host}/…`, so that a host can be granted its own prefixes."""

from cladnet.keys import is_segment, segment

ROOT = "cb-storage"

CLUSTER = f"{ROOT}/cluster/"
FOUNDING = f"{ROOT}/founding/"
CLUSTER_STATE = f"{ROOT}/cluster-state/"
KEYRING = f"{ROOT}/keyring/"
DAEMONS = f"{ROOT}/daemons/"
VOLUME = f"{ROOT}/volume/"
VOLUME_STATE = f"{ROOT}/volume-state/"
VOLUME_SHARES = f"{ROOT}/volume-shares/"
MIRROR = f"{ROOT}/mirror/"
MIRROR_STATE = f"{ROOT}/mirror-state/"
TRASH = f"{ROOT}/trash/"
SNAPSHOT = f"{ROOT}/snapshot/"
COPY = f"{ROOT}/copy/"
SNAPSHOT_SCHEDULE = f"{ROOT}/snapshot-schedule/"
MOUNT = f"{ROOT}/mount/"
MOUNT_EVERYWHERE = f"{ROOT}/mount-everywhere/"
MOUNT_KEY = f"{ROOT}/mount-key/"
KEY_ROTATION = f"{ROOT}/key-rotation/"
KEY_STATE = f"{ROOT}/key-state/"
CONNECTION = f"{ROOT}/connection/"
CONNECTION_KEY = f"{ROOT}/connection-key/"
MOUNT_STATE = f"{ROOT}/mount-state/"
OSD_WISH = f"{ROOT}/osd-wish/"
OSD_PROGRESS = f"{ROOT}/osd-progress/"
OSD_DEVICE = f"{ROOT}/osd-device/"
UPDATE_TURN = f"{ROOT}/update-turn/"
SMB_SHARE = f"{ROOT}/smb-share/"
SMB_USER = f"{ROOT}/smb-user/"
SMB_STATE = f"{ROOT}/smb-state/"


def _group(group: str) -> str:
    return segment(group, what="CLADNet id")


def _host(host: str) -> str:
    return segment(host, what="host")


def _volume(volume: str) -> str:
    return segment(volume, what="volume name")


def _osd(osd: int) -> str:
    return segment(str(osd), what="OSD")


def cluster(group: str) -> str:
    """ClusterSpecification: the storage cluster as its creator wants it."""
    return CLUSTER + _group(group)


def founding(group: str) -> str:
    """Founding: the first monitors and who founded the cluster; created once, by whoever was first."""
    return FOUNDING + _group(group)


def cluster_state(group: str) -> str:
    """ClusterState: what the leading monitor's host last saw."""
    return CLUSTER_STATE + _group(group)


def keyring(group: str, host: str) -> str:
    """SealedKeys: the cephx keys one storage host needs, sealed to it."""
    return f"{keyrings_of(group)}{_host(host)}"


def keyrings_of(group: str) -> str:
    """Prefix of every storage host's sealed keys."""
    return f"{KEYRING}{_group(group)}/"


def daemons(group: str, host: str) -> str:
    """HostDaemons: what runs on one storage host, written by that host only."""
    return f"{daemons_of(group)}{_host(host)}"


def daemons_of(group: str) -> str:
    """Prefix of every storage host's HostDaemons."""
    return f"{DAEMONS}{_group(group)}/"


def update_turns_of(group: str) -> str:
    """Prefix of the queue of storage hosts that would restart daemons (`cladnet.etcd.turn`)."""
    return f"{UPDATE_TURN}{_group(group)}/"


def volume(group: str, name: str) -> str:
    """VolumeSpecification: a volume as its creator wants it."""
    return f"{volumes_of(group)}{_volume(name)}"


def volumes_of(group: str) -> str:
    """Prefix of every volume of a group."""
    return f"{VOLUME}{_group(group)}/"


def volume_state(group: str, name: str) -> str:
    """VolumeState: what the monitors' hosts made of it."""
    return f"{volume_states_of(group)}{_volume(name)}"


def volume_states_of(group: str) -> str:
    """Prefix of every VolumeState of a group."""
    return f"{VOLUME_STATE}{_group(group)}/"


def volume_shares(group: str, volume_id: str) -> str:
    """VolumeShares: the hosts that a volume, by its id, is kept for."""
    return f"{volume_shares_of(group)}{segment(volume_id, what='volume id')}"


def volume_shares_of(group: str) -> str:
    """Prefix of every VolumeShares of a group."""
    return f"{VOLUME_SHARES}{_group(group)}/"


def mirror(group: str, volume_id: str) -> str:
    """VolumeMirror: which volume another, by its id, follows."""
    return f"{mirrors_of(group)}{segment(volume_id, what='volume id')}"


def mirrors_of(group: str) -> str:
    """Prefix of every VolumeMirror of a group."""
    return f"{MIRROR}{_group(group)}/"


def mirror_state(group: str, volume_id: str) -> str:
    """MirrorState: how far it is."""
    return f"{mirror_states_of(group)}{segment(volume_id, what='volume id')}"


def mirror_states_of(group: str) -> str:
    """Prefix of every MirrorState of a group."""
    return f"{MIRROR_STATE}{_group(group)}/"


def trashed(group: str, volume_id: str) -> str:
    """Trashed: a deleted volume that can be taken back, by its id."""
    return f"{trash_of(group)}{segment(volume_id, what='volume id')}"


def trash_of(group: str) -> str:
    """Prefix of every deleted volume of a group."""
    return f"{TRASH}{_group(group)}/"


def snapshot(group: str, volume_id: str, name: str) -> str:
    """Snapshot: a volume, by its id, as it was once."""
    return f"{snapshots_of_volume(group, volume_id)}{segment(name, what='snapshot name')}"


def snapshots_of_volume(group: str, volume_id: str) -> str:
    """Prefix of the snapshots of one volume."""
    return f"{snapshots_of(group)}{segment(volume_id, what='volume id')}/"


def snapshots_of(group: str) -> str:
    """Prefix of every snapshot of a group."""
    return f"{SNAPSHOT}{_group(group)}/"


def snapshot_schedule(group: str, volume_id: str) -> str:
    """SnapshotSchedule: how often snapshots of a volume are made."""
    return f"{snapshot_schedules_of(group)}{segment(volume_id, what='volume id')}"


def snapshot_schedules_of(group: str) -> str:
    """Prefix of every schedule of a group."""
    return f"{SNAPSHOT_SCHEDULE}{_group(group)}/"


def copy(group: str, volume_id: str) -> str:
    """CopyWish: what a volume, by its id, is to be filled with."""
    return f"{copies_of(group)}{segment(volume_id, what='volume id')}"


def copies_of(group: str) -> str:
    """Prefix of every copy that is not done yet."""
    return f"{COPY}{_group(group)}/"


def mount(group: str, host: str, volume: str) -> str:
    """MountSpecification: this host should have this volume mounted."""
    return f"{mounts_on(group, host)}{_volume(volume)}"


def mounts_on(group: str, host: str) -> str:
    """Prefix of the mounts wanted on one host."""
    return f"{mounts_of(group)}{_host(host)}/"


def mounts_of(group: str) -> str:
    """Prefix of every wanted mount of a group."""
    return f"{MOUNT}{_group(group)}/"


def mount_everywhere(group: str, volume: str) -> str:
    """MountEverywhere: every host of the group should have this volume mounted."""
    return f"{mounts_everywhere_of(group)}{_volume(volume)}"


def mounts_everywhere_of(group: str) -> str:
    """Prefix of every MountEverywhere of a group."""
    return f"{MOUNT_EVERYWHERE}{_group(group)}/"


def mount_key(group: str, host: str, volume: str) -> str:
    """SealedKeys: the cephx key of one host for one volume, sealed to that host."""
    return f"{mount_keys_on(group, host)}{_volume(volume)}"


def mount_keys_on(group: str, host: str) -> str:
    """Prefix of the sealed mount keys of one host."""
    return f"{mount_keys_of(group)}{_host(host)}/"


def mount_keys_of(group: str) -> str:
    """Prefix of every sealed mount key of a group."""
    return f"{MOUNT_KEY}{_group(group)}/"


def mount_state(group: str, host: str, volume: str) -> str:
    """MountState: how the mount stands, written by that host only."""
    return f"{mount_states_on(group, host)}{_volume(volume)}"


def mount_states_on(group: str, host: str) -> str:
    """Prefix of the mount states of one host."""
    return f"{mount_states_of(group)}{_host(host)}/"


def mount_states_of(group: str) -> str:
    """Prefix of every MountState of a group."""
    return f"{MOUNT_STATE}{_group(group)}/"


def osd_wish(group: str, osd: int) -> str:
    """OsdWish: what should become of an OSD."""
    return f"{osd_wishes_of(group)}{_osd(osd)}"


def osd_wishes_of(group: str) -> str:
    """Prefix of every OsdWish of a group."""
    return f"{OSD_WISH}{_group(group)}/"


def osd_progress(group: str, osd: int) -> str:
    """OsdProgress: how far that is."""
    return f"{osd_progress_of(group)}{_osd(osd)}"


def osd_progress_of(group: str) -> str:
    """Prefix of every OsdProgress of a group."""
    return f"{OSD_PROGRESS}{_group(group)}/"


def osd_device(group: str, host: str, digest: str) -> str:
    """OsdAddition: this host should have an OSD on the device with this `osd_model.digest`."""
    return f"{osd_devices_on(group, host)}{segment(digest, what='digest')}"


def osd_devices_on(group: str, host: str) -> str:
    """Prefix of the devices that one host was given."""
    return f"{OSD_DEVICE}{_group(group)}/{_host(host)}/"


def key_rotation(group: str, scope: str, name: str) -> str:
    """KeyRotation: the cephx keys of all (`all`, `all`), of a host or of a volume should be replaced."""
    return f"{key_rotations_of(group)}{segment(scope, what='scope')}/{segment(name, what='name')}"


def key_rotations_of(group: str) -> str:
    """Prefix of every KeyRotation of a group."""
    return f"{KEY_ROTATION}{_group(group)}/"


def key_state(group: str, digest: str) -> str:
    """KeyState: how the key of the identity with this `rotation_model.digest` stands."""
    return f"{key_states_of(group)}{segment(digest, what='digest')}"


def key_states_of(group: str) -> str:
    """Prefix of every KeyState of a group."""
    return f"{KEY_STATE}{_group(group)}/"


def connection(group: str, volume: str, machine: str) -> str:
    """OutsideConnection: a machine that does not run the appliance should have this volume."""
    return f"{connections_of(group)}{_volume(volume)}/{segment(machine, what='machine')}"


def connections_of(group: str) -> str:
    """Prefix of every OutsideConnection of a group."""
    return f"{CONNECTION}{_group(group)}/"


def connection_key(group: str, volume: str, machine: str) -> str:
    """SealedKeys: its cephx key, sealed to whoever asked for it."""
    return f"{connection_keys_of(group)}{_volume(volume)}/{segment(machine, what='machine')}"


def connection_keys_of(group: str) -> str:
    """Prefix of every key of machines outside."""
    return f"{CONNECTION_KEY}{_group(group)}/"


def host_and_volume(prefix: str, key: str) -> tuple[str, str] | None:
    """The host and the volume that a key below `prefix` ends with; None for a key that none of the functions makes."""
    names = key.removeprefix(prefix).split("/")
    if not key.startswith(prefix) or len(names) != 2 or not all(map(is_segment, names)):
        return None
    host, volume = names
    return host, volume


def smb_share(group: str, host: str, volume: str) -> str:
    """SmbShare: this gateway should share this volume."""
    return f"{smb_shares_on(group, host)}{_volume(volume)}"


def smb_shares_on(group: str, host: str) -> str:
    """Prefix of the shares of one gateway."""
    return f"{SMB_SHARE}{_group(group)}/{_host(host)}/"


def smb_user(group: str, host: str, user: str) -> str:
    """SmbUser: somebody whom this gateway lets in."""
    return f"{smb_users_on(group, host)}{segment(user, what='user name')}"


def smb_users_on(group: str, host: str) -> str:
    """Prefix of the users of one gateway."""
    return f"{SMB_USER}{_group(group)}/{_host(host)}/"


def smb_state(group: str, host: str) -> str:
    """SmbState: how a gateway stands, written by that host only."""
    return f"{SMB_STATE}{_group(group)}/{_host(host)}"
