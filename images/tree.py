"""The root tree: the base with our package installed and configured, without anything that must differ per machine."""

import shutil
from pathlib import Path

from images import confine, deb, layin
from images.recipe import Recipe
from images.stages import Stage, digest
from larva import process

APPLIANCE_FILES = layin.LAID_IN / "appliance"
"""Laid in beside the package: what holds for our appliance, not for any machine with our package."""

PER_MACHINE = (
    "etc/ssh/ssh_host_*", "etc/nvme/host*", "etc/hostname", "var/lib/systemd/random-seed", "var/lib/dbus/machine-id",
    "var/lib/cloud/*", "var/log/*.log", "var/log/*.gz", "var/log/apt/*", "var/log/journal/*", "var/log/[bw]tmp*",
    "var/log/lastlog", "var/cache/apt/*", "var/cache/debconf/*-old", "var/lib/dpkg/*-old", "var/lib/apt/lists/*",
    "root/.*_history", "var/cache/ldconfig/aux-cache", "tmp/*", "run/*",
)  # fmt: skip
"""Removed: identity, logs, caches. The first boot makes what it needs."""


def stage(recipe: Recipe, base: Stage, base_entry: Path, package: Stage, package_entry: Path) -> Stage:
    """Return the stage that makes `root/`, the tree the lab runs and the disk is made of."""
    appliance = layin.read(APPLIANCE_FILES)
    inputs = {
        "base": base.id, "package": package.id, "files": appliance.digest,
        "enable": " ".join(recipe.enable), "disable": " ".join(recipe.disable), "mask": " ".join(recipe.mask),
        "code": digest([Path(__file__), Path(confine.__file__)]),
    }  # fmt: skip

    def make(directory: Path, log_file: Path) -> None:
        root = directory / "root"
        process.run(["cp", "-a", "--reflink=auto", base_entry / "root", root], timeout=600)
        appliance.write(root)
        file = deb.package_in(package_entry)

        def inside(*argv: str) -> None:
            confine.run_in(
                root, argv, share={package_entry: "deb"}, timeout=300,
                env={"SOURCE_DATE_EPOCH": str(recipe.epoch)}, log_file=log_file,
            )  # fmt: skip

        inside("dpkg", "--install", f"/mnt/deb/{file.name}")
        for verb, units in (("disable", recipe.disable), ("enable", recipe.enable), ("mask", recipe.mask)):
            if units:
                inside("systemctl", verb, *units)
        inside("/usr/bin/larva", "--help")
        anonymise(root)

    return Stage(name="tree", family=recipe.name, inputs=inputs, needs_mib=2048, make=make)


def anonymise(root: Path) -> None:
    """Remove from a tree what must be made anew on every machine."""
    for pattern in PER_MACHINE:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    # Empty, not absent: systemd then draws an id without taking the boot for a first one that presets all units.
    (root / "etc/machine-id").write_bytes(b"")
