"""`larva bench lab`: how long `demo up` takes to each milestone, beside a plain machine of the same tree."""

import secrets
import statistics
import time

from images import pipeline
from images.clouds.lab import topology_toml
from images.clouds.lab.lab import Lab
from images.demo.story import Story
from images.demo.up import PROFILE, bring_up
from larva.bench import Result

ROUNDS = 3
BAR_S = 120.0
"""From `demo up` with a built image to a volume that is mounted in three clouds."""

_MILESTONES = {
    "hosts": "every host launched",
    "control": "a control node in every cloud",
    "mesh": "mesh complete",
    "quorum": "monitors in quorum",
    "osds": "an OSD in every cloud up and in",
    "volume": "volume mounted in every cloud",
}


def lab(*, quick: bool) -> list[Result]:
    """Bring the default lab up and down, `ROUNDS` times (once if `quick`), each round beside a plain boot.

    Figures are seconds from the start of `demo up` with a warm image, the median of the rounds.
    """
    pipeline.tree(PROFILE)
    rounds = [(_plain_boot(), _milestones()) for _ in range(1 if quick else ROUNDS)]
    plain = statistics.median(boot for boot, _ in rounds)
    return [
        Result(
            metric=title,
            unit="s",
            value=statistics.median(times[name] for _, times in rounds),
            peer="a plain machine of the same tree, booted",
            peer_value=plain,
            bar=BAR_S if name == "volume" else None,
        )
        for name, title in _MILESTONES.items()
    ]


def _milestones() -> dict[str, float]:
    story = Story()
    run_id = f"b{secrets.token_hex(3)}"
    try:
        bring_up(topology_toml.default(), run_id=run_id, story=story)
    finally:
        Lab(run_id).destroy()
    passed = 0.0
    ends = []
    for step in story.steps:
        passed += step.seconds
        ends.append(passed)
    return dict(zip(_MILESTONES, ends[-len(_MILESTONES) :], strict=True))


def _plain_boot() -> float:
    """Seconds until one machine of the same tree, with nothing to join, has finished its boot."""
    plain = Lab.create(topology_toml.default(), pipeline.tree(PROFILE), f"p{secrets.token_hex(3)}")
    try:
        started = time.monotonic()
        plain.launch(plain.topology.hosts[0].name, "#cloud-config\n{}\n").wait_running()
        return time.monotonic() - started
    finally:
        plain.destroy()
