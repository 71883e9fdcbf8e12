"""What the story of the virtual machines takes for proof."""

import json
from typing import Any

import pytest

from images.clouds.lab import topology_toml
from images.demo import kernels
from images.demo.story import NotProved, Step, Story, wait_until

PLAN = topology_toml.virtual()
PEERS = len(PLAN.hosts) - 1


class Vms:
    """Virtual machines that answer as told."""

    topology = PLAN
    storage = PLAN.virtual

    def __init__(self, **answers: str) -> None:
        self.answers = {
            "ip": json.dumps([{}, {"ifname": "cbnet0"}]), "engines": "0\n",
            "wg": "".join(f"key{number}\t17000\n" for number in range(PEERS)),
            "mount": "a@f.cladfs=/volumes/demo/shared rw,relatime\n", "health": '{"status": "HEALTH_OK", "checks": {}}',
        } | answers  # fmt: skip

    def run(self, host: str, argv: list[str], *, timeout: float = 60) -> str:
        del host, timeout
        words = " ".join(argv)
        for sign, answer in (("wireguard-go", "engines"), ("findmnt", "mount"), ("health", "health")):
            if sign in words:
                return self.answers[answer]
        return self.answers[argv[0]]

    def wait_until(self, what: str, holds: Any, *, timeout_s: float) -> None:
        del timeout_s
        wait_until(what, holds, timeout_s=0.05, every_s=0.02)


def network(vms: Any) -> list[str]:
    step = Step(name="s")
    kernels._wireguard(step, vms, PLAN.host("aws-1"))
    return step.evidence


def test_the_kernel_s_network_and_mounts_are_told() -> None:
    assert network(Vms()) == [f"aws-1: cbnet0 of kind wireguard, handshakes with {PEERS} peers, no wireguard-go"]
    story, vms = Story(), Vms()
    kernels.volume_in_the_kernel(story, vms)  # type: ignore[arg-type]
    assert story.ok
    assert story.steps[0].evidence[0] == "aws-1: a@f.cladfs=/volumes/demo/shared rw,relatime"


@pytest.mark.parametrize(
    "answers", [{"ip": "[]"}, {"ip": "[{}]"}, {"engines": "1\n"}, {"wg": "key0\t17000\nkey1\t0\n"}, {"wg": ""}]
)
def test_anything_but_the_kernel_s_wireguard_with_every_peer_proves_nothing(answers: dict[str, str]) -> None:
    with pytest.raises(NotProved):
        network(Vms(**answers))


@pytest.mark.parametrize(
    "answers", [{"mount": "\n"}, {"health": '{"status": "HEALTH_WARN", "checks": {"OSD_DOWN": {}}}'}]
)
def test_another_client_or_a_sick_cluster_proves_nothing(answers: dict[str, str]) -> None:
    vms: Any = Vms(**answers)
    with pytest.raises(NotProved):
        kernels.volume_in_the_kernel(Story(), vms)
