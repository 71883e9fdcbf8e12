"""What is laid into a tree: a directory's files, read at once, so that an edit meanwhile cannot tear a build."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent.parent
"""The checkout that images are built from."""
LAID_IN = SOURCES / "packer"
IGNORED = frozenset({"__pycache__", "node_modules", "vendor", ".mypy_cache", ".ruff_cache"})
"""What tools make in a checkout."""


@dataclass(frozen=True, slots=True)
class File:
    """A file's content and permission bits, or a symbolic link's target."""

    content: bytes
    mode: int
    link: bool = False


@dataclass(frozen=True, slots=True)
class Files:
    """Files by their relative path, sorted."""

    files: Mapping[str, File]

    @property
    def digest(self) -> str:
        """Hash of every path, mode and content, 20 hexadecimal digits."""
        total = hashlib.sha256()
        for path, file in self.files.items():
            total.update(f"{path}\0{file.mode:o}\0{file.link}\0".encode() + hashlib.sha256(file.content).digest())
        return total.hexdigest()[:20]

    def write(self, root: Path, substitutions: Mapping[str, str] | None = None) -> None:
        """Write all files below `root`; each `@NAME@` of the substitutions is replaced in text files."""
        for path, file in self.files.items():
            target = root / path
            for parent in reversed(target.relative_to(root).parents[:-1]):
                if not (root / parent).exists():
                    (root / parent).mkdir(mode=0o755)
                    (root / parent).chmod(0o755)
            if file.link:
                target.symlink_to(os.fsdecode(file.content))
                continue
            content = file.content
            for name, value in (substitutions or {}).items():
                content = content.replace(f"@{name}@".encode(), value.encode())
            target.write_bytes(content)
            target.chmod(file.mode)


def read(root: Path, below: Iterable[str] = (".",)) -> Files:
    """Return the files of `root` that lie below one of the given directories; caches of tools are left out."""
    found: dict[str, File] = {}
    for start in below:
        for directory, names, leaves in os.walk(root / start):
            names[:] = [name for name in names if name not in IGNORED and not name.endswith(".egg-info")]
            for leaf in leaves:
                path = Path(directory, leaf)
                if path.suffix == ".pyc" or path.name.startswith(".#"):
                    continue
                relative = str(path.relative_to(root))
                if path.is_symlink():
                    found[relative] = File(os.fsencode(path.readlink()), 0o777, link=True)
                else:
                    found[relative] = File(path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644)
    return Files(dict(sorted(found.items())))
