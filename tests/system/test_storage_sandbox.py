"""What the storage agent can still do with the capabilities that its unit leaves it."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from images import deb

pytestmark = pytest.mark.root

UNIT = deb.PACKAGE_FILES / "usr/lib/systemd/system/larva-storage.service"
LOOK = """
import sys
from cbstorage.mounting import renewal
try:
    print(*renewal.others_mounts())
except PermissionError as error:
    print("refused", file=sys.stderr)
"""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A mount namespace beside ours, of a program of root with all that root may; its name."""
    command = ["unshare", "--mount", "sh", "-c", "readlink /proc/self/ns/mnt; exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()


def look(capabilities: set[str]) -> "subprocess.CompletedProcess[str]":
    names = ",".join(sorted(f"+{name.removeprefix('CAP_').lower()}" for name in capabilities))
    command = ["setpriv", "--bounding-set", f"-all,{names}", sys.executable, "-c", LOOK]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


def test_mounts_of_every_namespace_are_seen_before_a_volume_is_let_go(elsewhere: str) -> None:
    lines = UNIT.read_text().splitlines()
    capabilities = {
        name for line in lines if line.startswith("CapabilityBoundingSet=") for name in line.partition("=")[2].split()
    }
    assert elsewhere in look(capabilities).stdout.split()
    assert "refused" in look(capabilities - {"CAP_SYS_PTRACE"}).stderr, "not seeing it is no answer"
