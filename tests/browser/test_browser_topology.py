"""The picture of a CLADNet: it fills as agents join, shows what is bad and where storage runs, and empties again."""

import pytest
from browsing import SLOW_MS, log_in, shot
from playwright.sync_api import Page, expect

from cladnet import networks
from cladnet.etcd.store import Store
from cladnet.quality import Alarm, AlarmKind
from web.topology import MOST_PATHS

pytestmark = pytest.mark.browser


def expect_drawn(page: Page, **counts: int) -> None:
    for what, count in counts.items():
        expect(page.locator("#graph")).to_have_attribute(f"data-{what}", str(count), timeout=SLOW_MS)


def test_it_fills_as_agents_join_and_empties_as_they_stop(
    page: Page, console_url: str, console_store: Store, agents
) -> None:  # fmt: skip
    group = networks.create(console_store, name="shop", cidr="10.77.0.0/24").id
    networks.create(console_store, name="other", cidr="10.78.0.0/24")
    log_in(page, console_url)
    page.get_by_role("link", name="Topology").click()
    page.get_by_role("combobox").select_option(label="shop (10.77.0.0/24)")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Nobody is here")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator("#live")).to_have_text("live", timeout=SLOW_MS)
    hosts = ("aws-1", "gcp-1", "azure-1", "aws-2", "aws-3")
    for number, host in enumerate(hosts, 1):
        agents.join(group, host, number - 1)
        expect_drawn(page, hosts=number, lines=number * (number - 1) // 2)
    expect_drawn(page, clouds=3, regions=4)

    agents.measure(
        group, "aws-1", {"gcp-1": (264.2, 0.0), "azure-1": (140.8, 0.0), "aws-2": (263.0, 0.03), "aws-3": (2.8, 0.0)}
    )
    agents.measure(group, "gcp-1", {"azure-1": (244.1, 0.0), "aws-2": (3.55, 0.0), "aws-3": (265.0, 0.0)})
    agents.measure(group, "azure-1", {"aws-2": (249.3, 0.0), "aws-3": (141.0, 0.0)})
    agents.measure(
        group, "aws-2", {"aws-3": (None, 1.0)},
        Alarm(kind=AlarmKind.UNREACHABLE, destination="aws-3", since=agents.now(), evidence="5 in a row were lost"),
    )  # fmt: skip
    agents.found_storage(group, monitors=("aws-1", "gcp-1", "azure-1"), osds={"aws-1": 2, "gcp-1": 1, "azure-1": 1})
    worst = page.get_by_role("region", name="Worst paths")
    expect(worst.get_by_role("row").nth(1)).to_contain_text("aws-2 ↔ aws-3", timeout=SLOW_MS)
    expect(worst.get_by_role("row", name="aws-2 ↔ aws-3")).to_contain_text("unreachable")
    expect(worst.get_by_role("row", name="aws-2 ↔ gcp-1")).to_contain_text("3.55 ms")
    expect_drawn(page, osds=4, monitors=3)
    tree = page.get_by_role("navigation", name="Hosts")
    expect(tree.get_by_role("link", name="aws-1")).to_contain_text("monitor · OSDs: 2")
    shot(page, "topology")
    for mode in ("loss", "path type"):
        page.get_by_label(mode).check()
        shot(page, f"topology-{mode.split()[0]}")
    page.get_by_label("round trip").check()

    page.get_by_label("Find a host").fill("gcp")
    expect(tree.get_by_role("link")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(tree.get_by_role("link", name="gcp-1")).to_be_focused()
    page.get_by_label("Find a host").fill("")
    for left, host in reversed(list(enumerate(hosts))):
        agents.stop(group, host)
        if left:
            expect_drawn(page, hosts=left)
    expect(page.get_by_text("Nobody is here")).to_be_visible(timeout=SLOW_MS)
    expect(tree.get_by_role("link")).to_have_count(5)
    page.get_by_label("silent hosts too").check()
    expect_drawn(page, hosts=5, lines=0)


def test_a_thousand_hosts_leave_the_page_alive(page: Page, console_url: str, console_store: Store, agents) -> None:
    group = networks.create(console_store, name="large", cidr="10.64.0.0/16").id
    hosts = [f"vm-{number}" for number in range(1000)]
    for number, host in enumerate(hosts):
        agents.join(group, host, number, network="10.64.0.0/16")
    for number, host in enumerate(hosts[:100]):
        agents.measure(group, host, {peer: (float(number + 5), 0.0) for peer in hosts[number + 1 : number + 21]})
    log_in(page, console_url)
    page.goto(f"{console_url}/topology")
    expect_drawn(page, hosts=1000, lines=MOST_PATHS)
    expect(page.locator("#left-out")).to_contain_text(f"{MOST_PATHS} of 499500")
    shot(page, "topology-thousand")
    agents.stop(group, "vm-500")
    expect_drawn(page, hosts=999)
    page.get_by_label("Find a host").fill("vm-77")
    expect(page.get_by_role("navigation", name="Hosts").get_by_role("link")).to_have_count(11, timeout=SLOW_MS)


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 360)])
def test_it_is_read_in_the_dark_and_on_a_telephone(
    page: Page, console_url: str, console_store: Store, agents, scheme: str, width: int
) -> None:  # fmt: skip
    group = networks.create(console_store, name="shop", cidr="10.77.0.0/24").id
    for number, host in enumerate(("aws-1", "gcp-1", "azure-1")):
        agents.join(group, host, number)
    agents.measure(group, "aws-1", {"gcp-1": (264.2, 0.0), "azure-1": (140.8, 0.0)})
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    log_in(page, console_url)
    page.goto(f"{console_url}/topology")
    expect_drawn(page, hosts=3, lines=3)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    shot(page, f"topology-{scheme}-{width}")
