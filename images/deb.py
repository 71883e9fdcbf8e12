"""Our software as a Debian package: a private virtual environment, systemd units, firewall and kernel settings."""

import os
import re
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

from images import console_assets, layin
from images.layin import File, Files
from images.recipe import Recipe
from images.stages import Stage, digest
from larva import process

PACKAGES = ("larva", "cladnet", "cbstorage", "web")
"""The Python packages that run on an appliance; `images` stays on the machine that builds."""
ENVIRONMENT = Path("usr/lib/larva")
PACKAGE_FILES = layin.LAID_IN / "package"


def stage(
    recipe: Recipe, dependencies: Stage, dependencies_entry: Path, assets: Stage, assets_entry: Path
) -> Stage:  # fmt: skip
    """Return the stage that makes `larva_<version>_amd64.deb` of the checkout as it is now.

    Args:
        dependencies: the stage of the private environment's site-packages, and where its entry is.
        assets: the stage of the console's JavaScript libraries, and where its entry is.
    """
    ours = layin.read(layin.SOURCES, PACKAGES)
    tree = layin.read(PACKAGE_FILES)
    project = (layin.SOURCES / "pyproject.toml").read_text()
    inputs = {
        "sources": ours.digest, "files": tree.digest, "project": project_digest(project, ours),
        "python": recipe.python, "dependencies": dependencies.id, "assets": assets.id, "epoch": str(recipe.epoch),
        "code": digest([Path(__file__), Path(layin.__file__)]),
    }  # fmt: skip

    def make(directory: Path, log_file: Path) -> None:
        process.require_programs("dpkg-deb")
        version = version_of(project)
        root = directory / "tree"
        root.mkdir(mode=0o755)
        major, minor = recipe.python.split(".")
        tree.write(root, {"VERSION": version, "PYTHON": recipe.python, "NEXT_PYTHON": f"{major}.{int(minor) + 1}"})
        site = root / ENVIRONMENT / "lib" / f"python{recipe.python}" / "site-packages"
        site.parent.mkdir(parents=True)
        shutil.copytree(dependencies_entry / "site-packages", site, symlinks=True)
        ours.write(site)
        shutil.copytree(assets_entry / "vendor", site / console_assets.SERVED)
        distribution_info(project, ours).write(site)
        (root / ENVIRONMENT / "bin").mkdir()
        for name in ("python3", f"python{recipe.python}"):
            (root / ENVIRONMENT / "bin" / name).symlink_to("/usr/bin/python3")
        settle(root, recipe.epoch)
        # Root owns all; the archive's time stamps are SOURCE_DATE_EPOCH: equal input, equal package.
        process.run(
            ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z9", "--build", root,
             directory / f"larva_{version}_amd64.deb"],
            timeout=300, env={"SOURCE_DATE_EPOCH": str(recipe.epoch)}, log_file=log_file,
        )  # fmt: skip
        shutil.rmtree(root)

    return Stage(name="deb", family="", inputs=inputs, needs_mib=512, make=make)


def package_in(entry: Path) -> Path:
    """Return the package file of a finished entry."""
    return next(entry.glob("*.deb"))


def version_of(project: str) -> str:
    """Return the version that the text of pyproject.toml gives."""
    return str(tomllib.loads(project)["project"]["version"])


def project_digest(project: str, ours: Files) -> str:
    """Hash what of pyproject.toml reaches the appliance, so that a change of a linter's setting rebuilds nothing."""
    return distribution_info(project, ours).digest


def distribution_info(project: str, ours: Files) -> Files:
    """Return `larva-<version>.dist-info/` (PyPA: recording installed projects) for the packages that are there.

    Entry points whose module the appliance does not carry are left out, so that `larva --help` lists what works.
    """
    document = tomllib.loads(project)["project"]
    name, version = document["name"], document["version"]
    lines = []
    for group, points in sorted(document.get("entry-points", {}).items()):
        carried = {point: target for point, target in points.items() if carries(ours.files, target)}
        if carried:
            lines += [f"[{group}]", *(f"{point} = {target}" for point, target in sorted(carried.items())), ""]
    metadata = [
        "Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", f"Summary: {document['description']}",
        f"Requires-Python: {document['requires-python']}",
        *(f"Requires-Dist: {requirement}" for requirement in document["dependencies"]),
    ]  # fmt: skip
    folder = f"{re.sub('[-_.]+', '_', name)}-{version}.dist-info"
    contents = {"METADATA": metadata, "INSTALLER": ["dpkg"], "entry_points.txt": lines}
    return Files(
        {f"{folder}/{file}": File(("\n".join(text) + "\n").encode(), 0o644) for file, text in contents.items()}
    )


def carries(files: Mapping[str, File], target: str) -> bool:
    """Whether the module of an entry point `module:object` is among `files`."""
    module = target.partition(":")[0].replace(".", "/")
    return f"{module}.py" in files or f"{module}/__init__.py" in files


def settle(root: Path, epoch: int) -> None:
    """Give all below `root` the time stamp `epoch`, and permissions that do not depend on the builder's umask."""
    for directory, _, leaves in os.walk(root, topdown=False):
        for leaf in leaves:
            path = Path(directory, leaf)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            os.utime(path, (epoch, epoch), follow_symlinks=False)
        Path(directory).chmod(0o755)
        os.utime(directory, (epoch, epoch))
