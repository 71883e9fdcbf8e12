"""What the hosts of a CLADNet measure all the time, the alarms that they raise, and where a service is best placed."""

from dataclasses import dataclass

from cladnet import paths
from cladnet.paths import Alarms, PathView
from cladnet.placement import advice
from cladnet.placement.model import Recommendation, Survive
from cladnet.quality import Window
from larva.errors import InvalidInput
from web.api.routing import Listing, Routes
from web.context import store

routes = Routes("paths", "/cladnets/<cladnet>")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowQuery:
    """Over which time: as `10m`, `1h`."""

    window: str = Window.TEN_MINUTES.value


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementQuery:
    """How many members a clustered service has, and the widest single failure that it has to survive."""

    nodes: int
    survive: Survive


@routes.get("/alarms")
def alarms(group: str) -> Alarms:
    """The paths that are bad now: each by itself, and put together for people."""
    return paths.alarms(store(), group)


@routes.get("/quality", listing=Listing(name="paths", order=lambda path: (path.source, path.destination)))
def quality(group: str, query: WindowQuery) -> tuple[PathView, ...]:
    """Every path over a window: `?window=10m`."""
    if query.window not in list(Window):
        raise InvalidInput(f"there is no window {query.window[:20]!r}", hint=f"choose one of {', '.join(Window)}")
    return paths.views(store(), group, Window(query.window))


@routes.get("/placement")
def placement(group: str, query: PlacementQuery) -> Recommendation:
    """Which of the five models fits a clustered service, on which hosts, what they survive and what a write costs."""
    return advice.of_cladnet(store(), group, nodes=query.nodes, survive=query.survive)
