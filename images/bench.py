"""`larva bench image`: what building costs cold and warm, how large the results are, how soon a machine answers.

The peer is a disk of the same packages as Debian installs them, in the same format, booted the same way.
"""

import time

from images import accelerator, artifacts, bake, login, plain
from images.bake import Report
from images.formats import qcow2_zstd
from images.pipeline import Pipeline
from images.stages import Cache
from larva import codec, settings
from larva.bench import Result

PROFILE = "full"
COLD_BAR_S = 900.0
"""A cold `make demo` has 15 minutes; the tree is what it waits for."""
SIZE_BAR_MB = 240.0
"""Of the full image as zstd qcow2, in megabytes of a million bytes."""
LOGIN_BAR = 0.6
"""Of what the plain disk takes from its power-on to the login prompt."""
PEER = "plain Debian"


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
    if not quick:
        results += _beside_plain(pipeline)
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


def _beside_plain(pipeline: Pipeline) -> list[Result]:
    """Compress and boot the image and a plain Debian of the same packages, each once, one after the other."""
    disk, peer = pipeline.make_disk(), plain.make_disk(pipeline)
    tools_root = pipeline.cache.ensure(pipeline.tools) / "root"
    fastest, sizes, logins = accelerator.best(), [], []
    with pipeline.cache.scratch("plain") as scratch:
        for name, one in (("ours", disk), ("plain", peer)):
            compressed = scratch / f"{name}.qcow2"
            qcow2_zstd.write(one, compressed, scratch / "log")
            sizes.append(compressed.stat().st_size / 1e6)
            logins.append(login.seconds(compressed, fastest, tools_root, epoch=pipeline.recipe.epoch, kind="qcow2"))
    return [
        Result(metric="compressed", unit="MB", value=sizes[0], peer=PEER, peer_value=sizes[1]),
        Result(
            metric=f"power-on to login ({fastest.name})", unit="s", value=logins[0], peer=PEER, peer_value=logins[1],
            bar=LOGIN_BAR * logins[1],
        ),
    ]  # fmt: skip
