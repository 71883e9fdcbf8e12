"""`larva console`: serve it, say how to log in, set passwords, make access tokens."""

import ipaddress
import logging
import tempfile
from pathlib import Path
from typing import NoReturn

import click
from flask import Flask

from cladnet.access.keeper import AccessKeeper
from cladnet.access.root import open_root
from cladnet.commands.enrol import duration_s
from cladnet.enrol import enrolment, handover
from cladnet.enrol.authority import Authority
from cladnet.etcd.store import Store
from cladnet.following import FollowingStore
from larva import output, settings
from larva.errors import HostUnfit, InvalidInput, LarvaError
from web import access_tokens, accounts, first_account, openapi
from web.app import create_app
from web.cbnetwork.local import create_local_app
from web.context import EXTENSION
from web.roles import AccountRole
from web.server import Certificate, PlainListener, serve

log = logging.getLogger(__name__)


@click.group()
def console() -> None:
    """The web console of the control plane."""


@console.command("serve")
@click.option("--listen", default="0.0.0.0:8443", show_default=True, help="ADDRESS:PORT to listen on.")
@click.option("--certificate", type=click.Path(path_type=Path), help="PEM chain; default: the one that founding made.")
@click.option("--key", type=click.Path(path_type=Path), help="PEM key of the certificate.")
@click.option(
    "--cb-network-listen", "local", metavar="ADDRESS:PORT", default="127.0.0.1:8053", show_default=True,
    help="Where the old cb-network service's API is served without a login: on loopback only. `off`: nowhere.",
)  # fmt: skip
@click.option(
    "--images", type=click.Path(file_okay=False, path_type=Path),
    help="Where the images are that it hands out; default: [control] images of join.toml, else /var/lib/larva/images.",
)  # fmt: skip
@click.option("--insecure-http", is_flag=True, help="Without TLS; on loopback only, for tests.")
@click.option("--etcd", "endpoints", multiple=True, help="Plain etcd endpoint instead of this host's; for tests.")
def serve_command(
    *,
    listen: str,
    certificate: Path | None,
    key: Path | None,
    local: str,
    images: Path | None,
    insecure_http: bool,
    endpoints: tuple[str, ...],
) -> None:
    """Serve the console."""
    address, _ = _listen_address("--listen", listen)
    plain = None if local == "off" else _plain_listener(local)
    tls = None
    if insecure_http:
        if not address.is_loopback:
            raise InvalidInput(f"--insecure-http would show passwords to the network at {address}", hint="use TLS")
    else:
        directory = settings.state_directory() / "tls"
        tls = Certificate(certificate=certificate or directory / "console.pem", key=key or directory / "console.key")
        if missing := [path for path in (tls.certificate, tls.key) if not path.is_file()]:
            raise HostUnfit(
                f"missing: {', '.join(map(str, missing))}",
                hint="a control node gets them from `larva boot`; or give --certificate and --key",
            )

    def open_store() -> Store:
        return Store(endpoints) if endpoints else FollowingStore.of_this_host()

    def make_app() -> Flask:
        authority = settings.state_directory() / "ca"
        return create_app(
            open_store,
            open_authority=lambda: Authority.load(authority),
            admit=None if endpoints else _admit,
            hand_over=None if endpoints else handover.sealed_for,
            images=images,
            secure=tls is not None,
        )

    serve(make_app, listen=listen, tls=tls, ready=_found_first_account, plain=plain)


def _admit(host: str) -> None:
    """Root's connection lasts for one enrolment only: what else the console does needs no such power."""
    with open_root() as store:
        AccessKeeper(store).admit(host)


def _plain_listener(listen: str) -> PlainListener:
    address, port = _listen_address("--cb-network-listen", listen)
    if not address.is_loopback:
        raise InvalidInput(
            f"--cb-network-listen knows no login, so {address} would hand every CLADNet to the network",
            hint="take 127.0.0.1; from elsewhere, call the console's port with an access token, or tunnel by ssh -L",
        )
    return PlainListener(address=address, port=port, make_app=lambda app: create_local_app(app.extensions[EXTENSION]))


def _listen_address(option: str, listen: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    host, _, port = listen.rpartition(":")
    wrong = InvalidInput(f"{option} {listen!r} is not ADDRESS:PORT", hint="as 0.0.0.0:8443")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise wrong
    try:
        return ipaddress.ip_address(host.strip("[]")), int(port)
    except ValueError as error:
        raise wrong from error


def _found_first_account(app: Flask) -> None:
    try:
        first_account.found(app.extensions[EXTENSION].store(), settings.state_directory())
    except LarvaError as error:  # the next login tries again
        log.warning("the first account cannot be created yet: %s", error)


@console.command("first-run")
@output.json_option
def first_run(*, as_json: bool) -> None:
    """Say where the console is and how to log in the first time."""
    with Store.of_this_host() as store:
        first_account.found(store, settings.state_directory())
        address = enrolment.control_plane(store).server
    given = first_account.control_section().admin_password is not None
    unused = first_account.read_first_run(settings.state_directory())
    if as_json:
        output.show_json(
            {"address": address, "user": first_account.NAME, "password": unused.password if unused else None}
        )
        return
    click.echo(f"console   {address}\nuser      {first_account.NAME}")
    if unused is not None:
        click.echo(f"password  {unused.password}")
    elif given:
        click.echo("password  the admin_password of this host's user-data")
    else:
        click.echo("password  in use already; `larva console password` sets another one")


@console.command("openapi")
def print_openapi() -> None:
    """Print the description of the REST API: OpenAPI 3.1, as the console serves it at /v1/openapi.json."""
    with tempfile.TemporaryDirectory() as directory:
        app = create_app(_nowhere, open_authority=_nowhere, state_directory=Path(directory))
        output.show_json(openapi.document(app))


def _nowhere() -> NoReturn:
    raise HostUnfit("there is no control plane behind this")


@console.command("password")
@click.argument("user", default=first_account.NAME)
@click.password_option(help="Asked for without it.")
@click.option(
    "--role", type=click.Choice([each.value for each in AccountRole if each is not AccountRole.TENANT]),
    help="Create the account with this role if it is missing; others keep theirs.",
)  # fmt: skip
def password(*, user: str, password: str, role: str | None) -> None:
    """Set the password of USER (admin without it) and end its sessions; with --role, create a missing account.

    Its access tokens go on: those that are still good are named.
    """
    with Store.of_this_host() as store:
        accounts.set_password(store, user, password, _role(user, role))
        still_good = [token for token in access_tokens.list_all(store, user) if not token.expired]
    first_account.used(settings.state_directory(), user)
    output.note(f"the password of {user} is set")
    for token in still_good:
        words = f" ({token.description})" if token.description else ""
        output.note(f"its access token {token.id}{words} is still good; `DELETE /v1/access-tokens/{token.id}` ends it")


def _role(user: str, told: str | None) -> AccountRole | None:
    """A name that was mistyped makes nobody an administrator."""
    if told is not None:
        return AccountRole(told)
    return AccountRole.ADMIN if user == first_account.NAME else None


@console.command("token")
@click.argument("user", default=first_account.NAME)
@click.option("--description", default="", help="What it is for.")
@click.option("--ttl", metavar="TIME", help="How long it is good: 30m, 7d; until it is revoked without it.")
@click.option(
    "--role", type=click.Choice([each.value for each in AccountRole if each is not AccountRole.TENANT]),
    help="It allows no more than this role, nor than USER's.",
)  # fmt: skip
@output.json_option
def token(*, user: str, description: str, ttl: str | None, role: str | None, as_json: bool) -> None:
    """Make an access token with which a program calls the API as USER."""
    ttl_s = int(duration_s(ttl)) if ttl else None
    with Store.of_this_host() as store:
        secret = access_tokens.create(store, user, description, ttl_s=ttl_s, role=AccountRole(role) if role else None)
    if as_json:
        output.show_json({"user": user, "token": secret})
    else:
        click.echo(secret)
