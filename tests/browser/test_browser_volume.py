"""The page of a volume and the trash: what can be asked for by hand is asked for, and what is lost is said before."""

from dataclasses import replace

import pytest
import stage
from browsing import SLOW_MS, log_in, shot, violations
from playwright.sync_api import Locator, Page, expect

from cbstorage import keys
from cbstorage.mirror_model import MirrorState
from cbstorage.model import VolumeSpecification, VolumeState
from cbstorage.share_model import Share
from cbstorage.volume_model import Snapshot, SnapshotPhase, Trashed
from cbstorage.wanted import mirrors, mounting, sharing, snapshots, trash, volumes
from cladnet import networks
from cladnet.etcd.store import Store

pytestmark = pytest.mark.browser

HOSTS = ("aws-1", "gcp-1", "azure-1", "aws-2")


@pytest.fixture
def group(console_store: Store, agents) -> str:
    """Four hosts with OSDs, and a volume that is ready."""
    group = networks.create(console_store, name="shop", cidr="10.77.0.0/24").id
    for number, host in enumerate(HOSTS):
        agents.join(group, host, number)
    agents.found_storage(group, monitors=HOSTS[:3], osds=dict.fromkeys(HOSTS, 3))
    ready(console_store, volumes.create(console_store, group, "photos", 3 << 30))
    return group


def ready(store: Store, volume: VolumeSpecification) -> None:
    state = VolumeState(id=volume.id, ready=True, size_bytes=volume.size_bytes, used_bytes=1 << 30)
    store.put(keys.volume_state(volume.group, volume.name), state)


def made(store: Store, wish: Snapshot, group: str) -> None:
    store.put(keys.snapshot(group, wish.volume_id, wish.name), replace(wish, phase=SnapshotPhase.MADE))


def put_away(store: Store, agents, volume: VolumeSpecification) -> None:
    store.delete(keys.volume(volume.group, volume.name))
    entry = Trashed(volume=volume, used_bytes=1 << 30, deleted_at=agents.now(), keep_s=7 * 86400)
    store.put(keys.trashed(volume.group, volume.id), entry)


def seen(page: Page, name: str) -> None:
    """Keep a picture; axe finds nothing, and nothing sticks out of a telephone."""
    shot(page, name)
    assert violations(page) == []
    before = page.viewport_size
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    shot(page, f"{name}-360")
    page.set_viewport_size(before or {"width": 1280, "height": 1000})


def confirm(page: Page, name: str, button: str) -> None:
    """Type a name into the open dialog; another one first, which does nothing."""
    dialog = page.get_by_role("dialog")
    for typed in ("another", name):
        dialog.get_by_role("textbox").fill(typed)
        dialog.get_by_role("button", name=button, exact=True).click()
        expect(dialog).to_have_count(0 if typed == name else 1)


def section(page: Page, name: str) -> Locator:
    return page.locator(f"section#{name}")


def test_a_volume_is_shared_resized_and_mirrored_from_its_page(
    page: Page, console_url: str, console_store: Store, group: str
) -> None:  # fmt: skip
    log_in(page, console_url)
    page.goto(f"{console_url}/volumes/{group}/photos")
    expect(page.locator("#volume-used")).to_contain_text("1 GiB of 3 GiB used (33 %)", timeout=SLOW_MS)

    shares = section(page, "shares")
    everybody = shares.get_by_text("It is for every host")
    expect(everybody).to_be_visible()
    shares.get_by_text("Share with hosts").click()
    shares.get_by_label("aws-1").check()
    shares.get_by_label("gcp-1").check()
    shares.get_by_role("button", name="Keep for these only").click()
    kept = page.get_by_role("region", name="The hosts that it is kept for")
    expect(kept.get_by_role("row", name="gcp-1")).to_contain_text("read and write", timeout=SLOW_MS)
    shares.get_by_text("Share with hosts").click()
    shares.get_by_label("azure-1").check()
    shares.get_by_label("May").select_option("read")
    shares.get_by_role("button", name="Share with these too").click()
    expect(kept.get_by_role("row", name="azure-1").get_by_role("cell", name="read", exact=True)).to_be_visible(
        timeout=SLOW_MS
    )
    kept.get_by_role("row", name="gcp-1").get_by_role("button", name="Take away").click()
    expect(page.get_by_role("dialog")).to_contain_text("loses its mount and its key")
    page.get_by_role("dialog").get_by_role("button", name="Take away").click()
    expect(kept.get_by_role("row", name="gcp-1")).to_have_count(0, timeout=SLOW_MS)
    assert sharing.shares(console_store, group, "photos") == (
        Share(host="aws-1"), Share(host="azure-1", read_only=True),
    )  # fmt: skip
    shares.get_by_role("button", name="Open it to every host").click()
    expect(everybody).to_be_visible(timeout=SLOW_MS)
    assert sharing.shares(console_store, group, "photos") is None

    section(page, "mount").get_by_label("every host that may have it").check()
    section(page, "mount").get_by_label("for reading only").check()
    section(page, "mount").get_by_role("button", name="Mount", exact=True).click()
    mounts = page.get_by_role("region", name="Where this volume is mounted")
    for host in HOSTS:
        expect(mounts.get_by_role("row", name=host).get_by_role("cell", name="read", exact=True)).to_be_visible(
            timeout=SLOW_MS
        )
    mounts.get_by_role("row", name="aws-2").get_by_role("button", name="Unmount").click()
    expect(page.get_by_role("dialog")).to_contain_text("Unmount photos from aws-2?")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Unmount everywhere").click()
    expect(page.get_by_role("dialog")).to_contain_text("that have its files open")
    for host in HOSTS:
        expect(page.get_by_role("dialog")).to_contain_text(host)
    assert len(volumes.find(console_store, group, "photos").mounts) == len(HOSTS), "nothing is taken away yet"
    seen(page, "volume-unmount")
    page.get_by_role("dialog").get_by_role("button", name="Unmount").click()
    expect(page.get_by_text("Mounted nowhere.")).to_be_visible(timeout=SLOW_MS)

    page.expected_complaints = ("status of 409",)  # type: ignore[attr-defined]
    size = section(page, "size")
    size.get_by_label("Size, GiB").fill("0.5")
    size.get_by_role("button", name="Resize").click()
    expect(size.get_by_role("alert")).to_contain_text("holds 1GB", timeout=SLOW_MS)
    expect(size.get_by_label("Size, GiB")).to_have_value("0.5")
    size.get_by_label("Size, GiB").fill("5")
    size.get_by_role("button", name="Resize").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("resizing", timeout=SLOW_MS)
    assert volumes.find(console_store, group, "photos").size_bytes == 5 << 30


def test_a_volume_has_a_past(page: Page, console_url: str, console_store: Store, group: str) -> None:
    log_in(page, console_url)
    page.goto(f"{console_url}/volumes/{group}/photos")
    its = section(page, "snapshots")
    its.get_by_label("Name").fill("before-move")
    its.get_by_role("button", name="Take a snapshot").click()
    row = its.get_by_role("row", name="before-move")
    expect(row).to_contain_text("being made", timeout=SLOW_MS)
    (wish,) = snapshots.list_all(console_store, group, "photos").snapshots
    made(console_store, wish, group)
    expect(row.get_by_role("cell", name="there")).to_be_visible(timeout=SLOW_MS)

    its.get_by_label("Every").fill("12")
    its.get_by_label("Keep").fill("5")
    its.get_by_role("button", name="Set the schedule").click()
    expect(its).to_contain_text("Made every 12 hours; the latest 5 stay.", timeout=SLOW_MS)
    seen(page, "volume-past")
    its.get_by_role("button", name="Stop the schedule").click()
    expect(its).to_contain_text("No schedule", timeout=SLOW_MS)

    mounting.mount(console_store, group, "photos", ["aws-1"], "/srv/photos")
    expect(page.get_by_role("region", name="Where this volume is mounted")).to_contain_text("aws-1", timeout=SLOW_MS)
    row.get_by_role("button", name="Restore").click()
    expect(page.get_by_role("dialog")).to_contain_text("It is unmounted from: aws-1.")
    seen(page, "volume-restore")
    confirm(page, "photos", "Restore")
    expect(page.get_by_role("heading", level=1)).to_contain_text("copying", timeout=SLOW_MS)
    console_store.delete(keys.copy(group, wish.volume_id))
    expect(page.get_by_role("heading", level=1)).to_contain_text("ready", timeout=SLOW_MS)

    row.get_by_role("button", name="Clone").click()
    page.get_by_role("dialog").get_by_label("Name of the new volume").fill("photos-two")
    page.get_by_role("dialog").get_by_role("button", name="Clone").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("photos-two", timeout=SLOW_MS)
    page.goto(f"{console_url}/volumes/{group}/photos")
    row.get_by_role("button", name="Delete").click()
    confirm(page, "before-move", "Delete")
    expect(row).to_contain_text("being removed", timeout=SLOW_MS)


def test_a_mirror_follows_and_is_promoted(page: Page, console_url: str, console_store: Store, agents) -> None:
    page.expected_complaints = ("status of 422",)  # type: ignore[attr-defined]
    group = networks.create(console_store, name="shop", cidr="192.168.10.0/26").id
    stage.set_up(console_store, group)
    ready(console_store, volumes.create(console_store, group, "photos", 1 << 30))
    log_in(page, console_url)
    page.goto(f"{console_url}/volumes/{group}/photos")
    its = section(page, "mirrors")
    its.get_by_text("Make a mirror").click()
    its.get_by_label("Where it lies").fill("oracle")
    its.get_by_label("Follows every, minutes").fill("10")
    its.get_by_role("button", name="Make the mirror").click()
    expect(its.get_by_role("alert")).to_contain_text("oracle", timeout=SLOW_MS)
    expect(its.get_by_label("Follows every, minutes")).to_have_value("10")
    its.get_by_label("Where it lies").fill("azure")
    its.get_by_role("button", name="Make the mirror").click()
    row = its.get_by_role("row", name="photos-mirror")
    expect(row).to_contain_text("nothing whole yet", timeout=SLOW_MS)
    mirror = mirrors.find(console_store, group, "photos-mirror")
    assert (mirror.every_s, mirror.promise and mirror.promise.home) == (600, "azure")

    whole = Snapshot(volume_id=mirror.id, name="whole", asked_at=agents.now())
    made(console_store, whole, group)
    state = MirrorState(volume_id=mirror.id, complete="whole", complete_at=whole.asked_at)
    console_store.put(keys.mirror_state(group, mirror.id), state)
    expect(row).to_contain_text("in sync", timeout=SLOW_MS)
    row.get_by_role("link", name="photos-mirror").click()
    expect(page.locator("#follows-words")).to_contain_text("It follows photos every 10 minutes", timeout=SLOW_MS)
    seen(page, "volume-mirror")
    page.locator("#follows-actions").get_by_role("button", name="Promote").click()
    confirm(page, "photos-mirror", "Promote")
    expect(page.locator("#follows")).to_be_hidden(timeout=SLOW_MS)
    assert mirrors.list_all(console_store, group) == ()


def test_a_deleted_volume_is_taken_back_or_destroyed(
    page: Page, console_url: str, console_store: Store, group: str, agents
) -> None:  # fmt: skip
    page.expected_complaints = ("status of 422", "status of 409")  # type: ignore[attr-defined]
    log_in(page, console_url)
    page.goto(f"{console_url}/volumes/{group}/photos")
    page.get_by_text("Delete this volume").click()
    gone = page.locator("#delete")
    expect(gone).to_contain_text("It goes into the trash for seven days with 1GB of data")
    gone.get_by_role("textbox").fill("another")
    gone.get_by_role("button", name="Delete").click()
    expect(gone.get_by_role("alert")).to_contain_text("type photos exactly", timeout=SLOW_MS)
    gone.get_by_role("textbox").fill("photos")
    gone.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("row", name="photos")).to_contain_text("deleting", timeout=SLOW_MS)

    item = console_store.get(keys.volume(group, "photos"), VolumeSpecification)
    assert item is not None
    page.get_by_role("link", name="Trash").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible(timeout=SLOW_MS)
    put_away(console_store, agents, item.value)
    row = page.get_by_role("row", name="photos")
    expect(row).to_contain_text("7 days", timeout=SLOW_MS)
    seen(page, "trash")
    volumes.create(console_store, group, "photos", 1 << 30)
    row.get_by_role("button", name="Take back").click()
    page.get_by_role("dialog").get_by_role("button", name="Take back").click()
    expect(page.get_by_role("alert")).to_contain_text("has a volume 'photos' again", timeout=SLOW_MS)
    row.get_by_role("button", name="Take back").click()
    page.get_by_role("dialog").get_by_label("Name from now on").fill("old-photos")
    page.get_by_role("dialog").get_by_role("button", name="Take back").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible(timeout=SLOW_MS)
    back = console_store.get(keys.volume(group, "old-photos"), VolumeSpecification)
    assert back is not None

    put_away(console_store, agents, back.value)
    row = page.get_by_role("row", name="old-photos")
    row.get_by_role("button", name="Destroy").click()
    expect(page.get_by_role("dialog")).to_contain_text("Its data (1 GiB) and all its snapshots are lost for good.")
    page.get_by_role("button", name="Cancel").click()
    assert not trash.list_all(console_store, group)[0].purging
    row.get_by_role("button", name="Destroy").click()
    confirm(page, "old-photos", "Destroy")
    expect(row).to_contain_text("being destroyed", timeout=SLOW_MS)
    assert trash.list_all(console_store, group)[0].purging
