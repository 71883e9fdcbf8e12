"""What acts are called in the audit log: as the API's operation is, whichever page asked for it."""

from collections.abc import Mapping

API, PAGES = "api.", "pages."

OF_PAGES: Mapping[str, str] = {
    "account.change_password": "accounts.change_own_password",
    "account.end_every_session": "sessions.end_every_own",
    "account.end_session": "sessions.end_own",
    "cladnets.join": "enrolment_tokens.create",
    "status_tests.ask_status": "status.ask",
    "tokens.create": "accounts.create_token",
    "tokens.revoke": "accounts.revoke_token",
    "users.change_role": "accounts.change_role",
    "users.create": "accounts.create",
    "users.delete": "accounts.delete",
    "users.disable": "accounts.disable",
    "users.enable": "accounts.enable",
    "users.end_sessions": "sessions.end_all",
    "users.set_password": "accounts.set_password",
    "volumes.new.create": "volumes.create",
    "volumes.one.delete": "volumes.delete",
    "volumes.one.mirror": "mirrors.create",
    "volumes.one.mount": "volumes.mount",
    "volumes.one.resize": "volumes.resize",
    "volumes.one.schedule": "snapshots.schedule",
    "volumes.one.share": "shares.share",
    "volumes.one.snapshot": "snapshots.create",
}
"""Pages' endpoints that do what the API calls otherwise; one that is not here has its own name."""


def named(endpoint: str) -> str:
    """Return what the act behind an endpoint of the application is called."""
    if endpoint.startswith(PAGES):
        own = endpoint.removeprefix(PAGES)
        return OF_PAGES.get(own, own)
    return endpoint.removeprefix(API)
