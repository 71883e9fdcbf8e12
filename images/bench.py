"""`larva bench image`: what building costs cold and warm, how large the results are, how soon a machine answers."""

import tempfile
import time
from pathlib import Path

from images.pipeline import Pipeline
from larva import settings
from larva.bench import Result

PROFILE = "full"
COLD_BAR_S = 900.0
"""A cold `make demo` has 15 minutes; the tree is what it waits for."""


def image(*, quick: bool) -> list[Result]:
    """Measure the pipeline.

    Args:
        quick: only what is in the cache already, without a build from nothing.
    """
    results = []
    if not quick:
        settings.cache_directory().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.cache_directory()) as scratch:
            results += _built(Pipeline(PROFILE, directory=Path(scratch)), "cold")
    pipeline = Pipeline(PROFILE)
    pipeline.make_artifacts()
    results += _built(Pipeline(PROFILE), "warm")
    report = pipeline.make_bake()
    results.append(Result(metric=f"guest's uptime at first ssh ({report.accelerator})", unit="s", value=report.ssh_s))
    tree = sum(path.lstat().st_blocks * 512 for path in pipeline.make_tree().rglob("*"))
    results.append(Result(metric="tree on disk", unit="MiB", value=tree / (1 << 20)))
    results += [
        Result(metric=file.name, unit="MiB", value=file.stat().st_size / (1 << 20))
        for file in sorted(pipeline.published.iterdir())
        if file.suffix in {".qcow2", ".zst", ".deb"}
    ]
    return results


def _built(pipeline: Pipeline, temperature: str) -> list[Result]:
    """Build everything and return the whole time and, where a stage was made, each stage's."""
    started = time.monotonic()
    pipeline.make_tree()
    tree_s = time.monotonic() - started
    pipeline.make_artifacts()
    whole_s = time.monotonic() - started
    bar = COLD_BAR_S if temperature == "cold" else None
    results = [
        Result(metric=f"tree, {temperature}", unit="s", value=tree_s, bar=bar),
        Result(metric=f"all artifacts, {temperature}", unit="s", value=whole_s),
    ]
    if temperature == "cold":
        results += [
            Result(metric=f"stage {record.name} ({record.family or 'all'})", unit="s", value=record.seconds)
            for record in reversed(pipeline.cache.records())
        ]
    pipeline.cache.close()
    return results
