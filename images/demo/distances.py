"""A demo whose clouds are equally far apart, near at first and then far: what the benches of storage measure on."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations

from images.clouds.lab import topology_toml
from images.clouds.lab.lab import Lab
from images.clouds.lab.topology import Rtt
from images.demo.up import Demo, bring_up
from larva.bench import Result

RTTS_MS = (0.0, 40.0)
"""Between any two clouds."""


@contextmanager
def even_demo() -> Iterator[Demo]:
    """Give a demo whose distances can be switched on, and take it down."""
    plan = topology_toml.default()
    pairs = combinations([cloud.name for cloud in plan.clouds], 2)
    run_id = f"b{secrets.token_hex(3)}"
    try:
        yield bring_up(replace(plan, rtt=tuple(Rtt(between=pair, ms=RTTS_MS[-1]) for pair in pairs)), run_id=run_id)
    finally:
        Lab(run_id).destroy()


def at_distances(measure: Callable[[Demo, float], list[Result]], *, quick: bool) -> list[Result]:
    """Return what is measured at each distance, the far one not if `quick`.

    Args:
        measure: is given the demo and the round-trip time between any two clouds, in ms.
    """
    results: list[Result] = []
    with even_demo() as demo:
        for rtt_ms in RTTS_MS[:1] if quick else RTTS_MS:
            demo.lab.rtt(on=rtt_ms > 0)
            results += measure(demo, rtt_ms)
    return results
