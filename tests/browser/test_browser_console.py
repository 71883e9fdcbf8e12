"""The console as a person meets it: log in, create a CLADNet, see hosts and latencies arrive, mount a volume."""

from datetime import UTC, datetime
from ipaddress import IPv4Network

import pytest
from browsing import HOSTILE, SLOW_MS, log_in, shot
from playwright.sync_api import Page, expect

from cbstorage import keys as storage_keys
from cbstorage.model import ClusterSpecification, MountPhase, MountState, VolumeState
from cbstorage.wanted.volumes import find as find_volume
from cladnet import keys, networks
from cladnet.etcd.store import Store
from cladnet.model import TestSpecification
from cladnet.quality import Alarm, AlarmKind

pytestmark = pytest.mark.browser


def test_a_network_and_a_volume_come_to_life(page: Page, console_url: str, console_store: Store, agents) -> None:
    log_in(page, console_url)
    expect(page.get_by_text("No CLADNet yet")).to_be_visible()
    page.get_by_role("link", name="Create a CLADNet").click()
    page.get_by_label("Name").fill("shop")
    page.get_by_label("IPv4 CIDR block").fill("10.77.0.0/24")
    page.get_by_label("Description").fill(HOSTILE)
    shot(page, "create")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="shop")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_text(HOSTILE)).to_be_visible()
    group = networks.find(console_store, "shop").id

    expect(page.locator("#live")).to_have_text("live", timeout=SLOW_MS)
    hosts = page.get_by_role("region", name="Hosts of this CLADNet")
    for number, host in enumerate(("aws-1", "gcp-1", "azure-1", "aws-2")):
        agents.join(group, host, number)
        expect(hosts.get_by_role("row", name=host)).to_contain_text(f"10.77.0.{2 + number}", timeout=SLOW_MS)

    page.get_by_role("button", name="Run a status test").click()
    expect(page.locator("#status-progress")).to_contain_text("0 of 4 hosts", timeout=SLOW_MS)
    found = console_store.get(keys.test_specification(group), TestSpecification)
    assert found is not None
    agents.answer(group, found.value, {
        "aws-1": {"gcp-1": 271.4, "azure-1": 140.8, "aws-2": 263.2},
        "gcp-1": {"aws-1": 272.0, "azure-1": 244.1, "aws-2": 3.55},
        "azure-1": {"aws-1": 151.2, "gcp-1": 249.3, "aws-2": None},
    })  # fmt: skip
    expect(page.locator("#status-progress")).to_contain_text("3 of 4 hosts", timeout=SLOW_MS)
    matrix = page.locator("#matrix")
    expect(matrix.get_by_role("row", name="gcp-1").get_by_role("cell", name="3.55")).to_have_attribute("data-heat", "0")
    expect(matrix.get_by_role("row", name="azure-1").get_by_role("cell", name="lost")).to_be_visible()
    expect(page.locator("#mesh line")).to_have_count(6)
    alarms = page.get_by_role("region", name="Paths that are bad now")
    expect(page.get_by_text("Every path is as it should be.")).to_be_visible()
    since = datetime.now(UTC)
    for host in ("gcp-1", "azure-1"):
        agents.raise_alarms(
            group, host,
            *(Alarm(kind=AlarmKind.UNREACHABLE, destination=f"aws-{n}", since=since, evidence=HOSTILE) for n in (1, 2)),
        )  # fmt: skip
    expect(alarms.get_by_role("row", name="aws (2 hosts)")).to_contain_text("azure-1, gcp-1", timeout=SLOW_MS)
    expect(alarms.get_by_role("row", name="aws (2 hosts)")).to_contain_text("unreachable")
    expect(page.locator("#alarm-count")).to_have_text("1")
    shot(page, "cladnet")
    agents.raise_alarms(group, "azure-1")
    expect(alarms.get_by_role("row", name="aws (2 hosts)")).not_to_contain_text("azure-1", timeout=SLOW_MS)
    agents.raise_alarms(group, "gcp-1")
    expect(page.get_by_text("Every path is as it should be.")).to_be_visible(timeout=SLOW_MS)

    console_store.put(
        storage_keys.cluster(group),
        ClusterSpecification(
            group=group, fsid="6f1c1d5e-6e5b-4a0e-8f2c-3f4f6a9b1c2d", cidr=IPv4Network("10.77.0.0/24"),
            mon_hosts=("aws-1", "gcp-1", "azure-1"), mgr_hosts=("aws-1",), mds_hosts=("aws-1", "gcp-1"),
            created_at=datetime.now(UTC),
        ),
    )  # fmt: skip
    page.get_by_role("link", name="Volumes").click()
    page.get_by_role("link", name="Create a volume").click()
    expect(page.get_by_text("the storage cluster is not up yet")).to_be_visible(timeout=SLOW_MS)
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Name").fill("photos")
    page.get_by_label("Size, GiB").fill("0.5")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", name="Create photos?")).to_be_visible(timeout=SLOW_MS)
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="photos")).to_contain_text("pending", timeout=SLOW_MS)
    volume = find_volume(console_store, group, "photos")
    console_store.put(
        storage_keys.volume_state(group, "photos"), VolumeState(id=volume.id, ready=True, size_bytes=volume.size_bytes)
    )
    expect(page.get_by_role("heading", name="photos")).to_contain_text("ready", timeout=SLOW_MS)

    form = page.locator("#mount")
    form.get_by_label("aws-1").check()
    form.get_by_label("gcp-1").check()
    form.get_by_role("button", name="Mount", exact=True).click()
    mounts = page.get_by_role("region", name="Where this volume is mounted")
    expect(mounts.get_by_role("row", name="aws-1")).to_contain_text("pending", timeout=SLOW_MS)
    console_store.put(
        storage_keys.mount_state(group, "aws-1", "photos"),
        MountState(
            volume="photos", volume_id=volume.id, host="aws-1", path="/srv/photos", phase=MountPhase.MOUNTED,
        ),
    )  # fmt: skip
    expect(mounts.get_by_role("row", name="aws-1")).to_contain_text("mounted", timeout=SLOW_MS)
    shot(page, "volume")
    mounts.get_by_role("row", name="gcp-1").get_by_role("button", name="Unmount").click()
    page.get_by_role("dialog").get_by_role("button", name="Unmount").click()
    expect(mounts.get_by_role("row", name="gcp-1")).to_have_count(0, timeout=SLOW_MS)
    page.get_by_role("link", name="Volumes").first.click()
    expect(page.get_by_role("region", name="Volumes").get_by_role("row", name="photos")).to_contain_text("aws-1")
    shot(page, "volumes")


def test_what_is_refused_stays_as_it_was_typed(page: Page, console_url: str, console_store: Store) -> None:
    page.expected_complaints = ("status of 422", "status of 409")  # type: ignore[attr-defined]
    networks.create(console_store, name="taken", cidr="10.80.0.0/16")
    log_in(page, console_url)
    page.get_by_role("link", name="Create a CLADNet").click()
    for name, cidr, said in (
        ("shop", "10.300.0.0/24", "10.300.0.0/24"),
        ("shop", "10.80.7.0/24", "10.80.0.0/16"),
        ("taken", "10.90.0.0/24", "taken"),
    ):
        page.get_by_label("Name").fill(name)
        page.get_by_label("IPv4 CIDR block").fill(cidr)
        page.get_by_label("Description").fill("keep me")
        page.get_by_label("Basic: always public addresses").check()
        page.get_by_role("button", name="Next").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text(said, timeout=SLOW_MS)
        expect(alert.locator("span")).not_to_be_empty()
        expect(page.get_by_label("Name")).to_have_value(name)
        expect(page.get_by_label("IPv4 CIDR block")).to_have_value(cidr)
        expect(page.get_by_label("Description")).to_have_value("keep me")
        expect(page.get_by_label("Basic: always public addresses")).to_be_checked()
    shot(page, "refused")
    assert [each.name for each in networks.list_all(console_store)] == ["taken"]


def test_the_pages_speak_the_language_that_the_reader_chose(page: Page, console_url: str, console_store: Store) -> None:
    networks.create(console_store, name="shop", cidr="10.77.0.0/24")
    log_in(page, console_url)
    page.get_by_role("button", name="한국어").click()
    expect(page.get_by_role("heading", name="CLADNet 목록")).to_be_visible(timeout=SLOW_MS)
    assert page.locator("html").get_attribute("lang") == "ko"
    expect(page.locator("#live")).to_have_text("실시간", timeout=SLOW_MS)
    page.get_by_role("link", name="shop").click()
    expect(page.get_by_text("아직 호스트가 없습니다.")).to_be_visible(timeout=SLOW_MS)
    page.get_by_role("button", name="English").click()
    expect(page.get_by_text("No hosts yet.")).to_be_visible(timeout=SLOW_MS)
