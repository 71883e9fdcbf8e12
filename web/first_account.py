"""The first account: from user-data, or with a generated password that only root of this host can read."""

import logging
import secrets
from dataclasses import dataclass
from pathlib import Path

from cladnet.enrol.join_file import Control, JoinFile
from cladnet.etcd.store import Store
from larva import codec, files, toml
from larva.errors import Conflict, NotFound
from web import accounts, passwords
from web.roles import AccountRole

log = logging.getLogger(__name__)

NAME = "admin"
FILE = "first-run"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRun:
    """`/var/lib/larva/first-run`: there as long as nobody has logged in with it."""

    user: str
    password: str


def control_section() -> Control:
    """Return `[control]` of this host's join.toml; an empty one if there is no such file."""
    try:
        return JoinFile.load().control
    except NotFound:
        return Control()


def read_first_run(state_directory: Path) -> FirstRun | None:
    """Return the generated password while it is unused."""
    path = state_directory / FILE
    return codec.read_toml(path, FirstRun) if path.exists() else None


def found(store: Store, state_directory: Path) -> None:
    """Create the first account unless there is any; safe to call at every start and on every control node.

    Its password is `[control].admin_password` of join.toml, or else a generated one, written to
    `first-run` before the account exists, so that a crash in between locks nobody out.

    Raises:
        Unavailable: etcd does not answer.
        MalformedData: join.toml or first-run cannot be read.
    """
    if accounts.anybody(store):
        return
    password = control_section().admin_password
    if password is None:
        password = _generated(state_directory)
    elif len(password) < passwords.SHORTEST:
        log.warning("the admin_password of join.toml is short; change it with `larva console password`")
    try:
        accounts.create(store, NAME, password, AccountRole.ADMIN)
    except Conflict:
        _forget_if_wrong(store, state_directory)


def used(state_directory: Path, user: str) -> None:
    """Forget the generated password once its account has logged in or got another one."""
    first_run = read_first_run(state_directory)
    if first_run is not None and first_run.user == user:
        (state_directory / FILE).unlink(missing_ok=True)


def _generated(state_directory: Path) -> str:
    """Return the password in `first-run`; of several processes that make it at once, one wins."""
    made = FirstRun(user=NAME, password="-".join(secrets.token_hex(3) for _ in range(4)))
    files.write_once(state_directory / FILE, toml.encode(made), mode=files.SECRET)
    first_run = read_first_run(state_directory)
    return first_run.password if first_run is not None else made.password


def _forget_if_wrong(store: Store, state_directory: Path) -> None:
    """Somebody was faster: a process of this host with our password, or another control node with its own."""
    first_run = read_first_run(state_directory)
    if first_run is None:
        return
    try:
        accounts.authenticate(store, first_run.user, first_run.password)
    except accounts.NotAuthenticated:
        log.info("another control node has created the first account")
        (state_directory / FILE).unlink(missing_ok=True)
