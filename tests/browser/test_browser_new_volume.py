"""The way to a new volume: what it survives and what a write costs is said before it is made."""

from dataclasses import replace

import pytest
from browsing import SLOW_MS, choose_language, log_in, shot, violations
from playwright.sync_api import Page, expect

from cbstorage.promise import Promise
from cbstorage.wanted import volumes
from cladnet import networks, status_tests
from cladnet.etcd.store import Store
from cladnet.placement.model import Survive

pytestmark = pytest.mark.browser

HOSTS = ("aws-1", "gcp-1", "azure-1", "aws-2")
FAR_MS = {"aws-1": {"gcp-1": 270.0, "azure-1": 140.0, "aws-2": 263.0}, "gcp-1": {"azure-1": 244.0, "aws-2": 4.0}}


@pytest.fixture
def group(console_store: Store, agents) -> str:
    """Three clouds in four regions, with an OSD each, far from each other."""
    group = networks.create(console_store, name="shop", cidr="10.77.0.0/24").id
    for number, host in enumerate(HOSTS):
        agents.join(group, host, number)
    agents.found_storage(group, monitors=HOSTS[:3], osds=dict.fromkeys(HOSTS, 1))
    test = status_tests.request(console_store, group, trials=1)
    agents.answer(group, replace(test), FAR_MS | {"azure-1": {"aws-2": 250.0}})
    return group


def test_what_a_volume_survives_and_costs_is_said_before_it_is_made(
    page: Page, console_url: str, console_store: Store, group: str
) -> None:  # fmt: skip
    log_in(page, console_url)
    page.get_by_role("link", name="Volumes").click()
    page.get_by_role("link", name="Create a volume").click()
    page.get_by_label("aws/eu-west-2").check()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_label("any one zone")).to_be_disabled(timeout=SLOW_MS)
    region = page.get_by_label("any one region")
    expect(page.locator("label", has=region)).to_contain_text("unwise: writes are slow")
    page.get_by_label("Name").fill("photos")
    page.get_by_label("Size, GiB").fill("2")
    region.check()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", name="Create photos?")).to_be_visible(timeout=SLOW_MS)
    facts = page.locator("dl.facts")
    for said in ("2GB", "aws/eu-west-2", "any one region", " ms, at worst "):
        expect(facts).to_contain_text(said)
    expect(page.get_by_role("alert")).to_contain_text("Above 100 ms")
    assert volumes.list_all(console_store, group) == (), "nothing is made before it is confirmed"

    page.get_by_role("button", name="Back").click()
    expect(page.get_by_label("Name")).to_have_value("photos", timeout=SLOW_MS)
    expect(page.get_by_label("any one region")).to_be_checked()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="photos")).to_contain_text("pending", timeout=SLOW_MS)
    made = volumes.find(console_store, group, "photos")
    assert (made.size_bytes, made.promise) == (2 << 30, Promise(survive=Survive.REGION, home="aws/eu-west-2"))


def test_what_cannot_be_made_is_said_beside_what_was_typed(page: Page, console_url: str, group: str) -> None:
    page.expected_complaints = ("status of 422",)  # type: ignore[attr-defined]
    log_in(page, console_url)
    page.goto(f"{console_url}/volumes/new?cladnet={group}&home=")
    for name, size, said in (("Photos", "2", "Photos"), ("photos", "two", "two"), ("photos", "0", "too small")):
        page.get_by_label("Name").fill(name)
        page.get_by_label("Size, GiB").fill(size)
        page.get_by_label("any one CSP", exact=False).first.check()
        page.get_by_role("button", name="Next").click()
        expect(page.get_by_role("alert")).to_contain_text(said, timeout=SLOW_MS)
        expect(page.get_by_label("Name")).to_have_value(name)
        expect(page.get_by_label("Size, GiB")).to_have_value(size)
        expect(page.get_by_label("any one CSP", exact=False).first).to_be_checked()


@pytest.mark.parametrize(("scheme", "language", "width"), [("light", "en", 1280), ("dark", "ko", 360)])
def test_each_step_is_for_everybody(
    page: Page, console_url: str, group: str, scheme: str, language: str, width: int
) -> None:  # fmt: skip
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    log_in(page, console_url)
    choose_language(page, language)
    page.goto(f"{console_url}/volumes/new")
    for step in ("where", "what", "confirm"):
        expect(page.locator("#live")).to_have_attribute("data-state", "connected", timeout=SLOW_MS)
        shot(page, f"new-volume-{step}-{scheme}-{language}-{width}")
        assert (step, violations(page)) == (step, [])
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{step} sticks out"
        if step == "what":
            page.locator("input[name='name']").fill("photos")
        if step != "confirm":
            page.locator("main button.primary").focus()
            page.keyboard.press("Enter")
            page.wait_for_load_state()
