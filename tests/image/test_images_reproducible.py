"""One lock, one disk: built again by another clock, in another place, under another host name, it is the same."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from images import layin
from images.lock_choice import Mode
from images.pipeline import Pipeline
from images.stages import Stage

CLOCK = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")

pytestmark = [
    pytest.mark.image,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(3600),  # whoever comes first builds what is not in the cache
    pytest.mark.skipif(os.geteuid() != 0, reason="building an image needs root"),
    pytest.mark.skipif(not CLOCK.exists(), reason="needs the package faketime"),
]
WHOLE = "LARVA_TEST_WHOLE_BUILD"
"""Set to 1, also Debian's tree and that of the tools are made again, which takes minutes; by the true clock, which is
later: maintainer scripts in a tree find no libfaketime and stumble over ld.so's words about it."""
PROFILE = "full"
BUILD = f"""
import os
import subprocess
from images.lock_choice import Mode
from images.pipeline import Pipeline
# The programs that the build runs, not Python itself, whose sleep(3) libfaketime breaks.
# Times of files stay: libfaketime would move them, too.
if not os.environ.get({WHOLE!r}):
    os.environ.update(LD_PRELOAD={str(CLOCK)!r}, FAKETIME="+400d", NO_FAKE_STAT="1")
print(subprocess.run(["date", "+%s"], capture_output=True, text=True, check=True).stdout.strip())
print(Pipeline({PROFILE!r}, lock=Mode.STRICT).make_disk())
"""


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lend(pipeline: Pipeline, stage: Stage, cache: Path) -> None:
    """Put a finished entry into another cache."""
    entry = pipeline.cache.ensure(stage)
    other = cache / "stages" / stage.name / stage.id
    other.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", entry, other], check=True, timeout=300)


def test_the_same_disk_is_made_elsewhere_and_later(tmp_path: Path) -> None:
    """Programs inside the trees see the true clock, which is later, too: libfaketime is not in there."""
    pipeline = Pipeline(PROFILE, lock=Mode.STRICT)
    first = pipeline.make_disk()
    checkout, cache = tmp_path / "another" / "checkout", tmp_path / "cache"
    left_out = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache")
    shutil.copytree(layin.SOURCES, checkout, ignore=left_out, symlinks=True)
    cache.mkdir()
    (cache / "packages").symlink_to(pipeline.packages.directory)
    lent = [pipeline.python, pipeline.console_assets]
    whole = bool(os.environ.get(WHOLE))
    if not whole:
        lent += [pipeline.base, pipeline.tools]
    for stage in lent:
        lend(pipeline, stage, cache)
    environment = {
        **os.environ, "LARVA_CACHE": str(cache), "PYTHONPATH": str(checkout), "TZ": "Asia/Seoul",
    }  # fmt: skip
    script = 'umask 077; hostname elsewhere.example; exec "$@"'
    made = subprocess.run(
        ["unshare", "--uts", "sh", "-c", script, "sh", sys.executable, "-c", BUILD], env=environment, cwd=checkout,
        capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-3000:]
    clock, place = made.stdout.split()
    assert whole or int(clock) > time.time() + 399 * 86_400
    second = Path(place)
    assert second.is_relative_to(cache)
    assert second.parent.name == first.parent.name, "another stage: an input depends on where or when it is built"
    assert sha256(second) == sha256(first)
