"""Which image tests a plain `pytest` collects."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the appliance's own tests to `larva image build` and `verify`, which name a tree or a machine."""
    if "appliance" in collection_path.parts and not config.getoption("--hosts"):
        return True
    return None
