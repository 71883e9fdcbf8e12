"""A real Chromium, and a console that is served as on an appliance."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from browsing import PASSWORD, SLOW_MS
from playwright.sync_api import Browser, Page, sync_playwright

from cladnet.etcd.store import Store

CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if shutil.which(CHROMIUM) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Chromium is not installed: run `make setup`")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET, headless=True)
        yield chromium
        chromium.close()


@pytest.fixture
def console_url(console_etcd: str, console_store: Store, serve_console: Callable[..., str]) -> str:
    """A console that is served as on an appliance, but for TLS."""
    return serve_console("--insecure-http", etcd=console_etcd, password=PASSWORD)


@pytest.fixture
def page(browser: Browser, console_url: str) -> Iterator[Page]:
    """A page whose every complaint fails the test: exceptions, console errors, refusals by the content policy.

    It goes before the console does, and so does not see it going.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(SLOW_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI))"
    )
    page.expected_complaints = ()  # type: ignore[attr-defined]
    yield page
    context.close()
    unexpected = [said for said in complaints if not any(known in said for known in page.expected_complaints)]  # type: ignore[attr-defined]
    assert not unexpected
