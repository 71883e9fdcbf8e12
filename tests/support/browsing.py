"""What tests of the console's pages do with a browser."""

import os
from pathlib import Path

from playwright.sync_api import Page, expect

PASSWORD = "correct-horse-battery"
SLOW_MS = 30_000
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def log_in(page: Page, url: str) -> None:
    page.goto(f"{url}/cladnets")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="CLADNets", exact=True)).to_be_visible(timeout=SLOW_MS)


def shot(page: Page, name: str) -> None:
    """Keep a picture where somebody asked for pictures."""
    directory = os.environ.get("LARVA_SCREENSHOTS")
    if directory:
        page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)


def choose_language(page: Page, language: str) -> None:
    """See to it that pages are in a language, by its tag."""
    if page.locator("html").get_attribute("lang") != language:
        page.locator(f"button[name='language'][value='{language}']").click()
    expect(page.locator(f"html[lang='{language}']")).to_be_attached(timeout=SLOW_MS)


def violations(page: Page) -> list[str]:
    """What axe finds, by rule and place."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found for node in one["nodes"]]
