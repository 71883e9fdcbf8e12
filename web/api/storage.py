"""The storage cluster of a CLADNet: made, looked at, its monitors placed, its keys replaced."""

from dataclasses import dataclass

from cbstorage import keys
from cbstorage.model import ClusterSpecification
from cbstorage.rotation_model import KeyRotation, RotationScope
from cbstorage.wanted import cluster, placing, plain, rotation
from cbstorage.wanted.monitor_plan import MonitorPlan
from cbstorage.wanted.plain import PlainCluster
from cbstorage.wanted.rotation import KeyView
from cladnet.placement.model import Survive
from larva.errors import InvalidInput
from web.api.routing import Listing, Routes
from web.context import store
from web.roles import Right

routes = Routes("storage", "/cladnets/<cladnet>/storage")


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorWish:
    """Where monitors are to run: on hosts that are named, or where placement says."""

    mon_hosts: tuple[str, ...] = ()
    count: int | None = None
    """How many, an odd number."""
    survive: Survive | None = None
    """The widest single failure that they have to survive; None: the widest that can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterWish(MonitorWish):
    """What a caller says of a storage cluster to be made."""

    osd_file_bytes: int | None = None
    """Of OSD devices that are files and not there yet."""
    encrypt_osds: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanQuery:
    """How many monitors, and what they have to survive."""

    count: int | None = None
    survive: Survive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedCluster:
    """A storage cluster as it is wanted, and why its monitors are where they are."""

    cluster: ClusterSpecification
    placement: MonitorPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationWish:
    """Whose cephx keys are to be replaced."""

    scope: RotationScope
    name: str = "all"
    """Of the host or volume."""
    now: bool = False
    """The old keys end at once, and what was opened with them."""
    remount: bool = False
    """Volumes that nobody uses are mounted anew for it."""


def _plan(group: str, wish: MonitorWish) -> MonitorPlan:
    if wish.mon_hosts and (wish.count is not None or wish.survive is not None):
        raise InvalidInput("monitors are named or chosen", hint="give mon_hosts, or count and survive")
    return cluster.plan_monitors(
        store(), group, mon_hosts=wish.mon_hosts, count=wish.count, survive=wish.survive
    )  # fmt: skip


@routes.get("", resource=keys.cluster)
def show(group: str) -> PlainCluster:
    """Health in words with remedies, capacity, rates, daemons; 404 where there is none."""
    return plain.plain(cluster.find(store(), group))


@routes.post("", Right.OPERATE, status=202)
def init(group: str, wish: ClusterWish) -> PlacedCluster:
    """Make a storage cluster; its hosts bring it up by themselves."""
    plan = _plan(group, wish)
    made = cluster.create(
        store(), group, mon_hosts=plan.mon_hosts, osd_file_bytes=wish.osd_file_bytes, encrypt_osds=wish.encrypt_osds
    )
    return PlacedCluster(cluster=made, placement=plan)


@routes.get("/monitor-plan")
def plan_monitors(group: str, query: PlanQuery) -> MonitorPlan:
    """Where monitors should run and what they would survive; nothing is made."""
    return _plan(group, MonitorWish(count=query.count, survive=query.survive))


@routes.put("/monitors", Right.OPERATE, status=202, resource=keys.cluster)
def place_monitors(group: str, wish: MonitorWish) -> PlacedCluster:
    """Move monitors, and what stands beside them; new ones are in quorum before old ones go."""
    found = cluster.find(store(), group).specification
    plan = _plan(group, wish)
    return PlacedCluster(cluster=placing.place(store(), found.group, plan.mon_hosts), placement=plan)


@routes.get("/keys", Right.OPERATE, listing=Listing(name="keys", order=lambda key: (key.entity,)))
def list_keys(group: str) -> tuple[KeyView, ...]:
    """The cephx keys that hosts have: how old they are, and how far their replacement is. No key is shown."""
    return rotation.views(store(), group)


@routes.post("/key-rotations", Right.OPERATE, status=202)
def rotate_keys(group: str, wish: RotationWish) -> KeyRotation:
    """Replace cephx keys while they are in use."""
    return rotation.ask(store(), group, wish.scope, wish.name, now=wish.now, remount=wish.remount)
