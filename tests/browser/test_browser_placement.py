"""The placement advisor: which model and hosts, why not the others, what each single failure leaves."""

import pytest
from browsing import SLOW_MS, log_in, shot
from playwright.sync_api import Page, expect

from cladnet import networks, status_tests
from cladnet.etcd.store import Store

pytestmark = pytest.mark.browser

HOSTS = ("aws-1", "gcp-1", "azure-1", "aws-2")
MS = {
    ("aws-1", "gcp-1"): 264.2, ("aws-1", "azure-1"): 140.8, ("aws-1", "aws-2"): 263.0,
    ("gcp-1", "azure-1"): 244.1, ("gcp-1", "aws-2"): 3.55, ("azure-1", "aws-2"): 249.3,
}  # fmt: skip


def test_it_says_where_why_and_what_each_failure_leaves(
    page: Page, console_url: str, console_store: Store, agents
) -> None:  # fmt: skip
    networks.create(console_store, name="another", cidr="10.78.0.0/24")
    group = networks.create(console_store, name="shop", cidr="10.77.0.0/24").id
    for number, host in enumerate(HOSTS):
        agents.join(group, host, number)
    test = status_tests.request(console_store, group, trials=3)
    agents.answer(group, test, {
        host: {peer: ms for pair, ms in MS.items() if host in pair for peer in pair if peer != host} for host in HOSTS
    })  # fmt: skip
    log_in(page, console_url)
    page.get_by_role("link", name="Placement").click()
    page.get_by_label("CLADNet").select_option(label="shop (10.77.0.0/24)")
    page.get_by_label("Members").select_option("3")
    page.get_by_label("It has to survive the failure of").select_option(label="any one CSP, and any one region")
    page.get_by_role("button", name="Recommend").click()
    expect(page.get_by_role("heading", name="Model 5: several CSPs in several regions")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator("#write")).to_have_text("141 ms")
    members = page.get_by_role("region", name="Recommended hosts")
    expect(members.get_by_role("row")).to_have_count(4)
    expect(members.get_by_role("row", name="should lead")).to_contain_text("141 ms")
    models = page.get_by_role("region", name="The five models")
    expect(models.get_by_role("row", name="5. several CSPs")).to_contain_text("chosen")
    expect(models.get_by_role("row", name="1. one zone")).to_contain_text("promises less")
    failures = page.get_by_role("region", name="Every single failure")
    expect(failures.get_by_role("row", name="CSP gcp")).to_contain_text("yes")
    shot(page, "placement")

    agents.stop(group, "azure-1")
    expect(page.get_by_role("alert")).to_contain_text("needs 3 CSPs, found 2 (aws, gcp)", timeout=SLOW_MS)
    expect(page.get_by_role("heading", name="Model 5")).to_be_hidden()
    page.get_by_label("It has to survive the failure of").select_option(label="as much as these hosts can")
    page.get_by_role("button", name="Recommend").click()
    expect(page.get_by_role("heading", name="Model 5")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_role("list").filter(has_text="not up")).to_contain_text("azure-1")
    expect(failures.get_by_role("row", name="CSP aws")).to_contain_text("no")
