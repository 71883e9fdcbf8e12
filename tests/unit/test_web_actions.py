"""An act has one name in the audit log, whichever way it was asked for."""

from pathlib import Path

import pytest

from web import actions
from web.app import create_app


@pytest.fixture
def endpoints(tmp_path: Path) -> set[str]:
    """Those of the application that change something."""
    app = create_app(lambda: pytest.fail("nothing is read"), state_directory=tmp_path, secure=False)
    app.extensions["larva"].close()
    changing = {"POST", "PUT", "PATCH", "DELETE"}
    return {rule.endpoint for rule in app.url_map.iter_rules() if (rule.methods or set()) & changing}


def test_what_a_page_does_is_called_as_the_api_calls_it(endpoints: set[str]) -> None:
    for page, act in actions.OF_PAGES.items():
        assert f"{actions.PAGES}{page}" in endpoints
        assert f"{actions.API}{act}" in endpoints
        assert actions.named(f"{actions.PAGES}{page}") == actions.named(f"{actions.API}{act}") == act


def test_only_what_no_operation_does_has_a_name_of_a_page(endpoints: set[str]) -> None:
    named = {actions.named(each) for each in endpoints if each.startswith(actions.PAGES)}
    operations = {actions.named(each) for each in endpoints if each.startswith(actions.API)}
    assert named - operations == {"language.choose", "login.log_in", "login.log_out"}
