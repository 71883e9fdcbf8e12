"""What `larva console` refuses before it does anything."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from cladnet.etcd.store import Store
from larva.errors import HostUnfit, InvalidInput, NotFound
from web import access_tokens, accounts
from web.access_tokens import TokenView
from web.console import console
from web.roles import AccountRole


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARVA_STATE", str(tmp_path))
    monkeypatch.setenv("LARVA_CONFIG", str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["serve", "--listen", "nonsense"], InvalidInput, "ADDRESS:PORT"),
        (["serve", "--listen", "127.0.0.1:99999"], InvalidInput, "ADDRESS:PORT"),
        (["serve", "--listen", "0.0.0.0:8443", "--insecure-http"], InvalidInput, "passwords"),
        (["serve"], HostUnfit, "console.pem"),
        (["first-run"], NotFound, "not enrolled"),
        (["token"], NotFound, "not enrolled"),
    ],
)
def test_it_says_what_is_wrong(arguments: list[str], error: type[Exception], said: str) -> None:
    result = CliRunner().invoke(console, arguments)
    assert isinstance(result.exception, error)
    assert said in str(result.exception)
    assert result.exception.hint


@pytest.mark.parametrize(
    ("arguments", "role"),
    [([], AccountRole.ADMIN), (["kim"], None), (["kim", "--role", "viewer"], AccountRole.VIEWER)],
)
def test_only_the_first_account_is_an_administrators_unasked(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], role: AccountRole | None
) -> None:
    asked: list[AccountRole | None] = []
    monkeypatch.setattr(Store, "of_this_host", lambda: contextlib.nullcontext())
    monkeypatch.setattr(accounts, "set_password", lambda store, user, password, role: asked.append(role))
    monkeypatch.setattr(access_tokens, "list_all", lambda store, name: ())
    done = CliRunner().invoke(console, ["password", *arguments, "--password", "correct-horse-battery"])
    assert (done.exit_code, asked) == (0, [role])


def test_a_new_password_names_the_tokens_that_are_still_good(monkeypatch: pytest.MonkeyPatch) -> None:
    token = TokenView(
        id="a" * 16, user="kim", description="backup", created_at=datetime.now(UTC), expires_at=None, role=None,
        cladnets=(), expired=False,
    )  # fmt: skip
    monkeypatch.setattr(Store, "of_this_host", lambda: contextlib.nullcontext())
    monkeypatch.setattr(accounts, "set_password", lambda store, user, password, role: None)
    over = replace(token, id="b" * 16, expired=True)
    monkeypatch.setattr(access_tokens, "list_all", lambda store, name: (token, over) if name == "kim" else ())
    said = CliRunner().invoke(console, ["password", "kim", "--password", "correct-horse-battery"]).output
    assert f"{token.id} (backup) is still good" in said
    assert over.id not in said
