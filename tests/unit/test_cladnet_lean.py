"""What the agent's process loads: every module of it stays in memory on every host, day and night."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cladnet.agent import launch

DEARER_THAN_WORTH = {
    "click": "a service has no command line",
    "rich": "nor a terminal",
    "importlib.metadata": "nor commands to look for",
    "pyroute2": "10 MB for a dozen messages: cladnet/datapath/netlink.py",
    "nacl": "1 MB, and cryptography has X25519 too",
    "http.client": "2 MB with e-mail: cladnet/agent/errand.py, larva/metrics_server.py",
    "http.server": "as http.client",
    "urllib.request": "as http.client",
    "flask": "the console's",
    "argon2": "the console's",
    "unittest": "tests'",
}
SCRIPT = """
import json, sys
from cladnet.agent import lean
lean.without_openssl()
from cladnet.agent import service
files = {line.split()[-1].rpartition("/")[2] for line in open("/proc/self/maps") if "/" in line}
print(json.dumps([sorted(name for name, module in sys.modules.items() if module is not None), sorted(files)]))
"""
"""As cladnet/agent/__main__.py begins."""


@pytest.fixture(scope="module")
def loaded() -> tuple[set[str], set[str]]:
    """Modules and mapped files of a process that could run the agent."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=True)
    modules, files = json.loads(done.stdout)
    return set(modules), set(files)


@pytest.mark.parametrize("name", DEARER_THAN_WORTH)
def test_the_agent_loads_nothing_that_it_can_do_without(loaded: tuple[set[str], set[str]], name: str) -> None:
    assert name not in loaded[0], DEARER_THAN_WORTH[name]


def test_the_agent_holds_no_third_openssl(loaded: tuple[set[str], set[str]]) -> None:
    modules, files = loaded
    assert not {"_ssl", "_hashlib"} & modules
    assert {"hashlib", "hmac", "asyncio"} <= modules, "what can do without it is there"
    assert not [name for name in files if name.startswith(("libssl.so", "libcrypto.so"))]


def test_what_somebody_set_in_the_environment_stays() -> None:
    found = launch.environment({"MALLOC_ARENA_MAX": "4", "PATH": "/bin"})
    assert (found["MALLOC_ARENA_MAX"], found["PATH"]) == ("4", "/bin")
    assert found["MALLOC_MMAP_THRESHOLD_"] == "131072"


def test_the_terms_reach_the_service_and_what_it_refuses_is_told() -> None:
    words = launch.command(launch.Terms(metrics_at="off", rotate_s=86_400.0, settle_s=1.5))
    assert json.loads(words[-1]) == {"metrics_at": "off", "rotate_s": 86_400.0, "settle_s": 1.5}
    told = subprocess.run([*words[:-1], "{}"], capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 65
    assert "the agent's terms" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("is_installed", [False, True])
def test_a_host_that_is_not_enrolled_is_told_so(tmp_path: Path, *, is_installed: bool) -> None:
    compiled = tmp_path / "compiled"
    if is_installed:  # as by the package: then the service runs from there, and without docstrings
        compiled.mkdir()
    words = launch.command(launch.Terms(metrics_at="off", settle_s=1.0), compiled=compiled)
    assert ("-OO" in words) is is_installed
    environment = {**os.environ, "LARVA_STATE": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    told = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert told.returncode == 66
    assert "this host is not enrolled" in told.stderr
    assert "hint: " in told.stderr
    assert bool(list(compiled.rglob("service.*.opt-2.pyc"))) is is_installed


@pytest.mark.parametrize("words", [[], ["rubbish"], ["whoami", "https://127.0.0.1:9"]])
def test_an_errand_that_is_none_is_refused(words: list[str]) -> None:
    argv = [sys.executable, "-m", "cladnet.agent.errand", *words]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 65
    assert "no errand" in told.stderr
