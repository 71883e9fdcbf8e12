"""Creating a CLADNet: a range is recommended, what overlaps is explained before anything is made, nothing is lost."""

import pytest
from browsing import SLOW_MS, choose_language, log_in, shot, violations
from playwright.sync_api import Page, expect

from cladnet import networks
from cladnet.etcd.store import Store
from cladnet.model import Encryption, RuleType

pytestmark = pytest.mark.browser


def test_a_network_is_made_as_it_was_said_to_be(page: Page, console_url: str, console_store: Store) -> None:
    networks.create(console_store, name="shop", cidr="10.77.0.0/24")
    log_in(page, console_url)
    page.get_by_role("link", name="Create a CLADNet").click()
    recommended = page.get_by_label("IPv4 CIDR block").input_value()
    expect(page.get_by_text(f"{recommended} is free")).to_be_visible()
    page.get_by_label("For how many hosts").fill("1000")
    page.get_by_role("button", name="Recommend a range").click()
    expect(page.get_by_text("it holds 1022 hosts")).to_be_visible(timeout=SLOW_MS)
    page.get_by_text("What it keeps away from").first.click()
    avoided = page.get_by_role("region", name="What it keeps away from")
    expect(avoided.get_by_role("row", name="10.77.0.0/24")).to_contain_text("another CLADNet")

    page.get_by_label("Name").fill("plain")
    page.get_by_label("IPv4 CIDR block").fill("10.0.0.0/16")
    page.get_by_label("Basic: always public addresses").check()
    page.get_by_label("OFF: plaintext").check()
    page.get_by_label("IPv6 too: a private prefix is drawn").check()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", name="Create plain?")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_role("alert").filter(has_text="providers usually use")).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="plaintext")).to_contain_text("forges")
    assert [each.name for each in networks.list_all(console_store)] == ["shop"], "nothing is made yet"
    shot(page, "new-cladnet-confirm")
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_label("OFF: plaintext")).to_be_checked(timeout=SLOW_MS)
    prefix6 = page.get_by_label("Private IPv6 prefix").input_value()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="plain")).to_be_visible(timeout=SLOW_MS)
    made = networks.find(console_store, "plain")
    assert (str(made.cidr), str(made.cidr6)) == ("10.0.0.0/16", prefix6)
    assert (made.rule_type, made.encryption) == (RuleType.BASIC, Encryption.OFF)


def test_each_step_is_for_everybody(page: Page, console_url: str, console_store: Store) -> None:
    page.expected_complaints = ("status of 409",)  # type: ignore[attr-defined]
    networks.create(console_store, name="shop", cidr="10.77.0.0/24")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 800})
    log_in(page, console_url)
    page.goto(f"{console_url}/new-cladnet")
    choose_language(page, "ko")
    for step, cidr in (("refused", "10.77.0.0/25"), ("warned", "10.0.0.0/16")):
        page.locator("input[name='name']").fill("more")
        page.locator("input[name='cidr']").fill(cidr)
        page.get_by_role("button", name="다음").click()
        expect(page.get_by_role("alert").first).to_be_visible(timeout=SLOW_MS)
        expect(page.get_by_role("region", name="이 대역과 겹치는 것").get_by_role("row")).not_to_have_count(0)
        assert (step, violations(page)) == (step, [])
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, f"{step} sticks out"
        shot(page, f"new-cladnet-{step}-ko-360")
