"""Fixtures of the tests that a tree and a booted machine of the appliance both pass."""

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def appliance(host: Any) -> None:
    """`larva image verify` names the machine; without one there is nothing to look at (never this machine)."""
    if host.backend.get_connection_type() == "local":
        pytest.skip("runs through `larva image verify`, which names a tree or a machine")


@pytest.fixture
def running(host: Any) -> None:
    """Only for what shows on a booted machine; testinfra would believe a chroot that a service runs."""
    if host.backend.get_connection_type() == "chroot":
        pytest.skip("a tree that is not booted")


@pytest.fixture
def tree(host: Any) -> None:
    """Only for what holds before the first boot."""
    if host.backend.get_connection_type() != "chroot":
        pytest.skip("a machine that was booted has its own")
