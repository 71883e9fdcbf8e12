"""What each provider asks of the image, seen in the tree: its datasource is found, its disks and cards have drivers."""

import os
from pathlib import Path

import pytest

from images import confine
from images.export import targets
from images.export.targets import Target
from images.pipeline import Pipeline

pytestmark = [
    pytest.mark.image,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="entering a tree needs root"),
]
TARGETS = targets.load()
IDENTIFY = """
export PATH_RUN=/mnt/work/run PATH_SYS_CLASS_DMI_ID=/mnt/work/dmi PATH_PROC_CMDLINE=/mnt/work/cmdline
export SYSTEMD_VIRTUALIZATION=vm:kvm
sh /usr/lib/cloud-init/ds-identify --force
cat /mnt/work/run/cloud-init/cloud.cfg
"""


@pytest.fixture(scope="module")
def root() -> Path:
    return Pipeline("full").make_tree()


def identified(root: Path, work: Path, identity: dict[str, str]) -> str:
    """What cloud-init's own ds-identify writes on a machine of that identity."""
    (work / "dmi").mkdir()
    (work / "cmdline").write_text("root=LABEL=larva-root ro\n")
    for field, value in identity.items():
        (work / "dmi" / field).write_text(f"{value}\n")
    return confine.run_in(root, ["sh", "-c", IDENTIFY], share={work: "work"}, timeout=60)


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.identity])
def test_the_datasource_is_found_by_the_machine_s_identity(name: str, root: Path, tmp_path: Path) -> None:
    target = TARGETS[name]
    assert f"datasource_list: [ {target.datasource}, None ]" in identified(root, tmp_path, dict(target.identity))


def test_a_machine_of_nobody_has_no_datasource(root: Path, tmp_path: Path) -> None:
    found = identified(root, tmp_path, {"sys_vendor": "Nobody", "product_name": "Nothing"})
    assert not any(target.datasource in found for target in TARGETS.values())


@pytest.fixture(scope="module")
def drivers(root: Path) -> tuple[set[str], set[str]]:
    """Names of the kernel's drivers, and of those that are built in or in the initramfs."""
    (modules,) = (root / "lib" / "modules").iterdir()
    built_in, loadable = (
        {named(line.split(":")[0]) for line in (modules / file).read_text().splitlines()}
        for file in ("modules.builtin", "modules.dep")
    )
    early = confine.run_in(root, ["lsinitramfs", "/initrd.img"], timeout=120).splitlines()
    return built_in | loadable, built_in | {named(line) for line in early if ".ko" in line}


def named(path: str) -> str:
    return Path(path).name.partition(".ko")[0].replace("-", "_")


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_disks_and_cards_have_drivers(target: Target, drivers: tuple[set[str], set[str]]) -> None:
    every, early = drivers
    assert set(target.disks) <= early
    assert set(target.cards) <= every
    assert {"ext4", "sd_mod"} <= early
