"""An archive of Debian packages in a directory: one package of a tree, made anew under a higher version."""

import hashlib
import re
import subprocess
from pathlib import Path


def make(directory: Path, tree: Path, package: str, *, label: str) -> str:
    """Lay out a flat archive with the package as the tree has it, under a version of its own, and return that.

    Args:
        directory: of the archive; what is there already stays out of it.
        label: the archive's own, which apt's pins go by.
    """
    control = _dpkg(tree, "dpkg-query", "--show", "--showformat", _CONTROL, package)
    version = re.search(r"^Version: (.*)$", control, re.MULTILINE)
    assert version is not None
    newer = f"{version[1]}+larva1"
    root = directory / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(control.replace(f"Version: {version[1]}\n", f"Version: {newer}\n"))
    for name in _dpkg(tree, "dpkg-query", "--listfiles", package).splitlines():
        path = tree / name.lstrip("/")
        if path.is_symlink() or path.is_file():
            target = root / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "--archive", path, target], check=True, timeout=60)
    deb = directory / f"{package}.deb"
    build = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", root, deb]
    subprocess.run(build, check=True, timeout=120, capture_output=True)
    subprocess.run(["rm", "--recursive", root], check=True, timeout=60)
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    stanza = subprocess.run(["dpkg-deb", "--field", deb], check=True, timeout=60, capture_output=True, text=True).stdout
    packages = f"{stanza}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n"
    (directory / "Packages").write_text(packages)
    listed = f" {hashlib.sha256(packages.encode()).hexdigest()} {len(packages.encode())} Packages"
    (directory / "Release").write_text(
        f"Origin: Debian\nLabel: {label}\nSuite: stable\nCodename: x\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
        f"SHA256:\n{listed}\n"
    )
    return newer


_CONTROL = (
    "Package: ${Package}\nVersion: ${Version}\nArchitecture: ${Architecture}\nMaintainer: ${Maintainer}\n"
    "Multi-Arch: ${Multi-Arch}\nDepends: ${Depends}\nDescription: ${Description}\n"
)


def _dpkg(tree: Path, program: str, *words: str) -> str:
    argv = [program, f"--admindir={tree / 'var/lib/dpkg'}", *words]
    return subprocess.run(argv, check=True, timeout=60, capture_output=True, text=True).stdout
