"""Every page, as people differ: in light and dark, in both languages, on a telephone; and what axe says of each."""

from pathlib import Path

import pytest
import sealing
from browsing import HOSTILE, SLOW_MS, choose_language, log_in, shot, violations
from playwright.sync_api import Page, expect

from cbstorage import keys as storage_keys
from cbstorage.model import Health, HealthCheck, MountPhase, MountState, VolumeState
from cbstorage.wanted import mounting, volumes
from cladnet import networks
from cladnet.etcd.store import Store
from cladnet.model import LONGEST_FACT, CloudFacts
from cladnet.quality import Alarm, AlarmKind

pytestmark = pytest.mark.browser

HOSTS = ("aws-1", "gcp-1", "azure-1", "aws-2")


@pytest.fixture
def group(console_store: Store, agents, tmp_path: Path) -> str:
    """A CLADNet with something of everything, and with troubles; images, one of which was changed."""
    for target in ("aws", "kvm"):
        sealing.exported(tmp_path / "state" / "images" / target, tmp_path / "config", target)
    changed = sealing.built(tmp_path / "state" / "images" / "changed", tmp_path / "config")
    (changed / f"{sealing.STEM}.qcow2").write_text("another disk")
    group = networks.create(console_store, name="shop", cidr="10.77.0.0/24", description="The shop's own network").id
    for number, host in enumerate(HOSTS):
        agents.join(group, host, number)
    agents.measure(group, "aws-1", {"gcp-1": (264.2, 0.0), "azure-1": (140.8, 0.0), "aws-2": (263.0, 0.03)})
    agents.measure(
        group, "gcp-1", {"azure-1": (244.1, 0.0), "aws-2": (3.55, 0.0)},
        Alarm(kind=AlarmKind.SLOW, destination="azure-1", since=agents.now(), evidence="244 ms, 180 ms over the day"),
    )  # fmt: skip
    agents.found_storage(
        group, monitors=HOSTS[:3], osds={"aws-1": 2, "gcp-1": 1, "azure-1": 1},
        checks=(HealthCheck(code="OSD_NEARFULL", health=Health.WARNING, summary="1 nearfull osd(s)"),),
    )  # fmt: skip
    agents.stop(group, "aws-2")
    volume = volumes.create(console_store, group, "photos", 3 << 30)
    console_store.put(
        storage_keys.volume_state(group, "photos"),
        VolumeState(id=volume.id, ready=True, size_bytes=volume.size_bytes, used_bytes=2 << 30),
    )
    mounting.mount(console_store, group, "photos", ["aws-1", "gcp-1"], "/srv/photos")
    console_store.put(
        storage_keys.mount_state(group, "aws-1", "photos"),
        MountState(
            volume="photos", volume_id=volume.id, host="aws-1", path="/srv/photos", phase=MountPhase.MOUNTED
        ),
    )  # fmt: skip
    return group


def pages(group: str) -> dict[str, str]:
    return {
        "overview": "/", "cladnets": "/cladnets", "new-cladnet": "/new-cladnet",
        "cladnet": f"/cladnets/{group}", "topology": "/topology",
        "placement": "/placement?nodes=3&survive=region",
        "hosts": "/hosts", "host": f"/hosts/{group}/aws-1", "storage": "/storage", "volumes": "/volumes",
        "volume": f"/volumes/{group}/photos", "trash": "/volumes/trash", "new-volume": "/volumes/new",
        "images": "/images",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scheme", "language", "width"),
    [("light", "en", 1280), ("dark", "en", 1280), ("dark", "ko", 1280), ("light", "ko", 360)],
)
def test_every_page_is_for_everybody(
    page: Page, console_url: str, group: str, scheme: str, language: str, width: int
) -> None:  # fmt: skip
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{console_url}/login")
    assert violations(page) == []
    shot(page, f"login-{scheme}-{language}-{width}")
    log_in(page, console_url)
    choose_language(page, language)
    live = {"en": "live", "ko": "실시간"}[language]
    for name, path in pages(group).items():
        page.goto(console_url + path)
        expect(page.locator("#live")).to_have_text(live, timeout=SLOW_MS)
        assert page.locator("html").get_attribute("lang") == language
        shot(page, f"{name}-{scheme}-{language}-{width}")
        assert (name, violations(page)) == (name, [])
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} sticks out"
        focused = page.evaluate("document.activeElement.tagName")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") != focused, "the keyboard goes somewhere"


def test_the_overview_says_what_is_wrong_and_what_to_do(
    page: Page, console_url: str, console_store: Store, group: str, agents
) -> None:  # fmt: skip
    log_in(page, console_url)
    page.get_by_role("link", name="Overview").click()
    findings = page.locator("#findings")
    expect(page.get_by_role("heading", name="Wants attention: 3")).to_be_visible(timeout=SLOW_MS)
    expect(findings).to_contain_text("silent: aws-2")
    expect(findings).to_contain_text("An OSD is nearly full")
    expect(findings).to_contain_text("azure-1 is farther from gcp-1 than usual")
    expect(page.locator("#host-states")).to_contain_text("3 active")
    expect(page.locator("#capacity")).to_contain_text("shop: 5 GiB of 32 GiB used")
    agents.join(group, "aws-2", 3)
    agents.measure(group, "gcp-1", {"azure-1": (180.0, 0.0)})
    agents.found_storage(group, monitors=HOSTS[:3], osds={"aws-1": 2, "gcp-1": 1, "azure-1": 1})
    expect(page.get_by_role("heading", name="All is well")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator("#host-states")).to_contain_text("4 active")


def test_a_host_and_its_storage_are_found(
    page: Page, console_url: str, console_store: Store, group: str, agents
) -> None:  # fmt: skip
    log_in(page, console_url)
    page.get_by_role("link", name="Hosts", exact=True).click()
    page.get_by_label("Find a host").fill("sydney")
    expect(page.get_by_text("No host is here, or none is called so.")).to_be_visible(timeout=SLOW_MS)
    page.get_by_label("Find a host").fill("ap-southeast")
    page.get_by_role("link", name="aws-1").click()
    expect(page.get_by_role("heading", name="aws-1")).to_contain_text("active", timeout=SLOW_MS)
    rules = page.get_by_role("region", name="How it reaches its peers")
    expect(rules.get_by_role("row", name="gcp-1")).to_contain_text("203.0.113.11:51820")
    expect(rules.get_by_role("row", name="gcp-1")).to_contain_text("they share no network")
    expect(rules.get_by_role("row", name="gcp-1")).to_contain_text("264 ms")
    expect(page.get_by_role("region", name="Storage daemons").get_by_role("row", name="mon.aws-1")).to_be_visible()
    expect(page.get_by_role("region", name="Mounts").get_by_role("row", name="photos")).to_contain_text("mounted")
    agents.stop(group, "aws-1")
    expect(page.get_by_role("heading", name="aws-1")).to_contain_text("unreachable", timeout=SLOW_MS)

    page.get_by_role("link", name="Storage", exact=True).click()
    expect(page.get_by_role("heading", name="Storage", exact=False).first).to_contain_text("with warnings")
    expect(page.locator("#findings")).to_contain_text("OSD_NEARFULL")
    expect(page.locator("#facts")).to_contain_text("every OSD is on the CLADNet")
    osds = page.get_by_role("region", name="OSDs")
    expect(osds.get_by_role("row", name="osd.0")).to_contain_text("aws-1")
    expect(page.get_by_role("region", name="Volumes").get_by_role("row", name="photos")).to_contain_text("67 %")
    agents.found_storage(group, monitors=HOSTS[:3], osds={"aws-1": 1, "gcp-1": 1}, off_cladnet=("gcp-1",))
    expect(osds.get_by_role("row", name="osd.1")).to_contain_text("no", timeout=SLOW_MS)
    expect(page.locator("#facts")).to_contain_text("1 OSDs are not reached by other clouds")
    expect(osds.get_by_role("row", name="osd.3")).to_have_count(0)
    console_store.delete_prefix(storage_keys.CLUSTER)
    expect(page.get_by_text("This CLADNet has no storage cluster yet.")).to_be_visible(timeout=SLOW_MS)


def test_what_a_host_says_of_its_cloud_is_text_and_breaks_no_page(
    page: Page, console_url: str, console_store: Store, agents
) -> None:  # fmt: skip
    group = networks.create(console_store, name="shop", cidr="10.77.0.0/24", description=HOSTILE).id
    long = (HOSTILE * 40)[:LONGEST_FACT]
    agents.join(group, "evil", 0, cloud=CloudFacts(provider=HOSTILE, region=long, zone=long, network_id=long))
    agents.join(group, "good", 1)
    agents.raise_alarms(
        group, "evil", Alarm(kind=AlarmKind.LOSS, destination="good", since=agents.now(), evidence=HOSTILE)
    )
    page.set_viewport_size({"width": 360, "height": 800})
    log_in(page, console_url)
    for path in ("/", f"/cladnets/{group}", "/hosts", f"/hosts/{group}/evil", "/topology"):
        page.goto(console_url + path)
        expect(page.locator("#live")).to_have_text("live", timeout=SLOW_MS)
        assert page.locator("main img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, f"{path} sticks out"
    expect(page.get_by_role("navigation", name="Hosts")).to_contain_text(HOSTILE)
    shot(page, "topology-hostile")


def test_an_image_is_downloaded_and_the_page_says_how_it_is_launched(
    page: Page, console_url: str, group: str, tmp_path: Path
) -> None:  # fmt: skip
    log_in(page, console_url)
    page.get_by_role("link", name="Images").click()
    expect(page.locator("#live")).to_have_text("live", timeout=SLOW_MS)
    with page.expect_download() as downloading:
        page.get_by_role("link", name=f"{sealing.STEM}.aws").click()
    assert Path(downloading.value.path()).read_bytes() == b"a disk"
    page.get_by_text("Launch it: Amazon Web Services").click()
    expect(page.get_by_text("coldsnap upload larva-0.1.0-full-amd64.aws")).to_be_visible()
    expect(page.get_by_role("region", name="Image full 0.1.0")).to_have_count(0)
    expect(page.get_by_role("region", name="changed")).to_contain_text("larva-0.1.0-full-amd64.qcow2 was changed")
    shot(page, "images-launch")
