"""Several control nodes: each with its etcd and its console, joined to the first as a VM's user-data would."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

LARVA = Path(sys.executable).with_name("larva")


def larva(node: Any, *words: str) -> subprocess.CompletedProcess[str]:
    """`larva …` as typed on a control node."""
    here = {"LARVA_STATE": str(node.directory / "state"), "LARVA_CONFIG": str(node.directory / "config")}
    return subprocess.run(
        [LARVA, *words], capture_output=True, text=True, timeout=120, env={**os.environ, **here}, check=False
    )


def test_the_first_control_node_is_listed(control_node: Any) -> None:
    done = larva(control_node, "control", "list", "--json")
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout)
    assert (found["host"], found["state"], found["leader"], found["problem"]) == ("control-1", "healthy", True, "")
    assert found["etcd_endpoint"] == f"https://127.0.0.1:{control_node.ports.client}"
    assert int(found["member_id"], 16) > 0
    assert found["db_bytes"] > 0
    told = larva(control_node, "control", "list").stdout
    assert "control-1" in told
    assert "healthy" in told
