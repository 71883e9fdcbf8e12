"""`larva bench image`: what building costs cold and warm, how large the results are, how soon a machine answers."""

import time

from images import artifacts, bake
from images.bake import Report
from images.pipeline import Pipeline
from images.stages import Cache
from larva import codec, settings
from larva.bench import Result

PROFILE = "full"
COLD_BAR_S = 900.0
"""A cold `make demo` has 15 minutes; the tree is what it waits for."""
SIZE_BAR_MB = 240.0
"""Of the full image as zstd qcow2, in megabytes of a million bytes."""


def image(*, quick: bool) -> list[Result]:
    """Measure the pipeline.

    Args:
        quick: no build from nothing, and no boot: sizes and times of the image that was built last.

    Raises:
        NotFound: `quick`, and no image was built yet.
    """
    results = []
    if not quick:
        with Cache(settings.cache_directory() / "stages").scratch("bench") as scratch:
            cold = Pipeline(PROFILE, directory=scratch)
            results += _timed(cold, "cold", bar=COLD_BAR_S)
            results += [
                Result(metric=f"stage {record.name} ({record.family or 'all'})", unit="s", value=record.seconds)
                for record in reversed(cold.cache.records())
            ]
            cold.cache.close()
        Pipeline(PROFILE).make_artifacts()
    pipeline = Pipeline(PROFILE)
    pipeline.make_tree()  # so that the next one is warm
    results += _timed(Pipeline(PROFILE), "warm", bar=None, whole=not quick)
    manifest = artifacts.read(pipeline.published, PROFILE)
    results += [
        Result(
            metric=one.name, unit="MB", value=one.bytes / 1e6, bar=SIZE_BAR_MB if one.name.endswith(".qcow2") else None
        )
        for one in manifest.artifacts
    ]  # fmt: skip
    blocks = sum(path.lstat().st_blocks for path in pipeline.make_tree().rglob("*"))
    results.append(Result(metric="tree on disk", unit="MiB", value=blocks * 512 / (1 << 20)))
    for record in pipeline.cache.records():
        if record.name == "bake" and record.family == PROFILE:
            file = pipeline.cache.directory / record.name / record.id / bake.REPORT
            report = codec.decode(file.read_bytes(), Report, source=str(file))
            results.append(
                Result(metric=f"guest's uptime at first ssh ({report.accelerator})", unit="s", value=report.ssh_s)
            )
            break
    return results


def _timed(pipeline: Pipeline, temperature: str, *, bar: float | None, whole: bool = True) -> list[Result]:
    """Build and return how long the tree took, and all artifacts if the `whole` is wanted."""
    started = time.monotonic()
    pipeline.make_tree()
    results = [Result(metric=f"tree, {temperature}", unit="s", value=time.monotonic() - started, bar=bar)]
    if whole:
        pipeline.make_artifacts()
        elapsed = time.monotonic() - started
        results.append(Result(metric=f"all artifacts, {temperature}", unit="s", value=elapsed))
    return results
