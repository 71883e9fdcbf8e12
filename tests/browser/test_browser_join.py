"""What a CLADNet's page hands out for new hosts: user-data, and how to launch with it at each provider."""

import json

import pytest
from browsing import SLOW_MS, choose_language, log_in, shot, violations
from playwright.sync_api import Page, expect

from cladnet import keys, networks
from cladnet.etcd.store import Store
from cladnet.model import ControlPlane

pytestmark = pytest.mark.browser


def test_user_data_comes_with_each_providers_way_to_launch(
    page: Page, console_url: str, console_store: Store
) -> None:  # fmt: skip
    group = networks.create(console_store, name="shop", cidr="10.77.0.0/24").id
    plane = ControlPlane(server="https://203.0.113.10:8443", ca="sha256:" + "ab" * 32, etcd_endpoints=())
    console_store.put(keys.CONTROL_PLANE, plane)
    page.set_viewport_size({"width": 360, "height": 800})
    log_in(page, console_url)
    page.goto(f"{console_url}/cladnets/{group}")
    page.get_by_label("storage", exact=True).check()
    page.get_by_label("Hosts", exact=True).last.fill("3")
    page.get_by_role("button", name="Make user-data").click()
    expect(page.locator("#user-data")).to_contain_text("#cloud-config", timeout=SLOW_MS)
    for provider, said in (("Amazon Web Services", "--count 3"), ("Google Cloud", "--metadata-from-file")):
        command = page.get_by_role("region", name=f"{provider}: Command")
        expect(command).to_be_hidden()
        page.get_by_text(provider, exact=True).focus()
        page.keyboard.press("Enter")
        expect(command).to_contain_text(said)
    expect(page.get_by_role("region", name="Amazon Web Services: Terraform")).to_contain_text("aws_instance")
    page.get_by_text("CB-Tumblebug", exact=True).click()
    request = json.loads(page.get_by_role("region", name="CB-Tumblebug").text_content())
    assert request["nodeGroups"][0]["nodeGroupSize"] == 3
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, "nothing sticks out"
    shot(page, "cladnet-launch-360")
    choose_language(page, "ko")
    expect(page.locator("#user-data")).to_have_count(0)
