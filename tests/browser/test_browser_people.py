"""People in the console: an administrator makes an account, its owner uses it, and both see what was done."""

import pytest
from browsing import HOSTILE, PASSWORD, SLOW_MS, choose_language, log_in, shot, violations
from playwright.sync_api import Page, expect

from cladnet import networks
from cladnet.etcd.store import Store
from web import access_tokens, accounts
from web.roles import AccountRole

pytestmark = pytest.mark.browser

PAGES = ("/users", "/users/kim", "/tokens", "/audit", "/account")


def log_in_as(page: Page, url: str, user: str, password: str) -> None:
    page.goto(f"{url}/login")
    page.get_by_label("User").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("link", name="My account")).to_be_visible(timeout=SLOW_MS)


@pytest.mark.parametrize(
    ("scheme", "language", "width"),
    [("light", "en", 1280), ("dark", "en", 1280), ("dark", "ko", 1280), ("light", "ko", 360)],
)
def test_the_pages_about_people_are_for_everybody(
    page: Page, console_url: str, console_store: Store, scheme: str, language: str, width: int
) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    log_in(page, console_url)
    group = networks.create(console_store, name="shop").id
    accounts.create(console_store, "kim", PASSWORD, AccountRole.TENANT, (group,))
    for description in (HOSTILE, "a dashboard"):
        access_tokens.create(console_store, "kim", description, ttl_s=3600, role=AccountRole.VIEWER)
    page.goto(f"{console_url}/users/kim")
    page.locator("details.danger summary").first.click()
    page.locator("form[action='/users/kim/disable'] input[name='confirm']").fill("kim")
    page.locator("form[action='/users/kim/disable'] button").click()
    expect(page.locator("form[action='/users/kim/enable']")).to_be_visible(timeout=SLOW_MS)
    choose_language(page, language)
    for path in PAGES:
        page.goto(console_url + path)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") != "BODY", "the keyboard goes somewhere"
        for each in page.locator("summary").all():
            each.click()
        assert page.locator("html").get_attribute("lang") == language
        shot(page, f"{path[1:].replace('/', '-')}-{scheme}-{language}-{width}")
        assert (path, violations(page)) == (path, [])
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} sticks out"


def test_an_account_lives_and_ends(page: Page, console_url: str, console_store: Store) -> None:
    log_in(page, console_url)
    page.get_by_role("link", name="Users").click()
    page.get_by_label("Name").fill("kim")
    page.get_by_label("Password").fill(PASSWORD)
    expect(page.get_by_label("Role")).to_have_value("viewer")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="kim")).to_contain_text("active", timeout=SLOW_MS)

    context = page.context.browser.new_context()  # type: ignore[union-attr]
    theirs = context.new_page()
    theirs.set_default_timeout(SLOW_MS)
    log_in_as(theirs, console_url, "kim", PASSWORD)
    expect(theirs.get_by_role("link", name="Users")).to_have_count(0)
    theirs.get_by_role("link", name="API tokens").click()
    theirs.get_by_label("What it is for").fill("a dashboard")
    theirs.get_by_role("button", name="Make").click()
    expect(theirs.locator("#secret")).to_contain_text("larva_")
    theirs.get_by_role("link", name="API tokens").click()
    expect(theirs.locator("#secret")).to_have_count(0)
    theirs.get_by_text("Revoke", exact=True).click()
    theirs.get_by_role("button", name="Revoke a dashboard").click()
    expect(theirs.get_by_text("No API token yet.")).to_be_visible()
    theirs.get_by_role("link", name="My account").click()
    theirs.get_by_label("Present password").fill(PASSWORD)
    theirs.get_by_label("New password", exact=True).fill("another-good-one")
    theirs.get_by_label("New password again").fill("another-good-one")
    theirs.get_by_role("button", name="Set the password").click()
    expect(theirs.get_by_text("this one", exact=True)).to_be_visible()

    page.goto(f"{console_url}/users/kim")
    page.get_by_role("button", name="Log it out everywhere").click()
    expect(page.get_by_text("Nowhere logged in.")).to_be_visible(timeout=SLOW_MS)
    theirs.get_by_role("link", name="My account").click()
    expect(theirs.get_by_role("button", name="Log in")).to_be_visible()
    context.close()

    page.get_by_text("Delete this account").click()
    page.locator("form[action='/users/kim/delete'] input[name='confirm']").fill("kim")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Users")).to_be_visible(timeout=SLOW_MS)
    assert accounts.find(console_store, "kim") is None
    page.get_by_role("link", name="Audit log").click()
    expect(page.get_by_role("region", name="Changes")).to_contain_text("accounts.delete", timeout=SLOW_MS)
    page.get_by_label("Who").fill("kim")
    page.get_by_role("button", name="Show").click()
    changes = page.get_by_role("region", name="Changes")
    expect(changes).to_contain_text("accounts.revoke_token", timeout=SLOW_MS)
    expect(changes).not_to_contain_text("accounts.delete")
