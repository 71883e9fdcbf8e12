"""A rule of several segments in the CRUSH map: no command makes one, so the map is taken, edited and put back."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cbstorage.ceph.answers import CrushRule, OsdMap
from cbstorage.ceph.crush import Domain
from cbstorage.ceph.layout import ROOT, Layout, Segment
from cbstorage.ceph.monitor import Monitors
from larva import process
from larva.errors import MalformedData

_RULES = "\n# rules\n"
"""What crushtool writes before the first rule, also where there is none (CrushCompiler::decompile)."""
_BUCKET = re.compile(r"[A-Za-z0-9_.-]+")
TOOL_S = 30


def layout_of(rule: CrushRule) -> Layout | None:
    """Return the layout that a rule is; None for one that we do not make."""
    segments: list[Segment] = []
    steps = list(rule.steps)
    while steps:
        if len(steps) < 3:
            return None
        take, choose, emit, *steps = steps
        if (take.op, choose.op, emit.op) != ("take", "chooseleaf_firstn", "emit") or choose.type not in set(Domain):
            return None
        segments.append(Segment(bucket=take.item_name, domain=Domain(choose.type), copies=choose.num))
    if len(segments) == 1 and segments[0].bucket == ROOT and segments[0].copies == 0:  # as many as the pool has
        segments = [Segment(bucket=ROOT, domain=segments[0].domain, copies=3)]
    return Layout(segments=tuple(segments)) if segments else None


def with_rule(text: str, layout: Layout) -> str:
    """Return a map, as crushtool writes it, with the layout's rule in it."""
    before, mark, after = text.partition(_RULES)
    if not mark:
        raise MalformedData("crushtool's text has no part for rules")
    taken = {int(number) for number in re.findall(r"^rule [^{]*\{\s*id (\d+)$", after, re.MULTILINE)}
    number = min(set(range(len(taken) + 1)) - taken)
    return f"{before}{mark}{_rule(layout, number)}{after}"


def add(monitors: Monitors, layout: Layout) -> None:
    """Put a layout's rule into the cluster's map, unless the map changes meanwhile.

    Raises:
        Refused: somebody changed the map between taking it and putting it back; do it again.
        ProgramFailed: crushtool does not take the map, as when a bucket is not there.
    """
    osd_map = monitors.ask("osd dump", OsdMap)
    compiled = monitors.run("osd getcrushmap", epoch=osd_map.epoch)
    with tempfile.TemporaryDirectory(prefix="larva-crush-") as name:
        old, text, new = (Path(name) / part for part in ("old", "text", "new"))
        old.write_bytes(compiled)
        process.run(["crushtool", "--decompile", old, "--outfn", text], timeout=TOOL_S)
        text.write_text(with_rule(text.read_text(), layout))
        process.run(["crushtool", "--compile", text, "--outfn", new], timeout=TOOL_S)
        monitors.run("osd setcrushmap", stdin=new.read_bytes(), prior_version=osd_map.crush_version)


def _rule(layout: Layout, number: int) -> str:
    steps: Sequence[str] = [
        line
        for one in layout.segments
        for line in (f"take {_bucket(one.bucket)}", f"chooseleaf firstn {one.copies} type {one.domain}", "emit")
    ]
    lines = [f"id {number}", "type replicated", *(f"step {step}" for step in steps)]
    return f"rule {layout.rule} {{\n" + "".join(f"\t{line}\n" for line in lines) + "}\n"


def _bucket(name: str) -> str:
    if not _BUCKET.fullmatch(name):
        raise MalformedData(f"{name[:60]!r} is no bucket's name")
    return name
