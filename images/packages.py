"""Debian packages kept by their hash: fetched once from whatever mirror has them, checked each time they are used."""

import hashlib
import os
import shutil
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from images.lock import Lock, Locked
from images.mirror import Mirror
from larva import process
from larva.errors import ProgramFailed, Unavailable

FETCH = "/usr/lib/apt/apt-helper"
TIMEOUT_S = 1800.0
UNUSED_S = 7 * 86_400.0
"""A package that no build asked for in this time may go; whoever wants it again fetches it."""
NAMED = 5
"""Missing packages that an error names."""


class Packages:
    """Package files under one directory, `SHA256.deb`; a file of another content is not there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, locked: Locked) -> Path:
        """Return where the package's file is or will be."""
        return self.directory / f"{locked.sha256}.deb"

    def missing(self, lock: Lock) -> dict[str, Locked]:
        """Return the packages that are not there, every file being read and compared with its hash."""
        return {name: one for name, one in lock.packages.items() if not _is(self.path(one), one.sha256)}

    def ensure(self, lock: Lock, mirror: Mirror, log_file: Path) -> None:
        """Have every package of the lock; without a network if all are there.

        Raises:
            Unavailable: the mirror has a package no more, or one of another content.
        """
        missing = self.missing(lock)
        for name in lock.packages.keys() - missing.keys():
            os.utime(self.path(lock.packages[name]))
        for security_first in (True, False):
            if missing:
                self._fetch(missing, mirror, log_file, security_first=security_first)
                missing = self.missing(lock)
        if missing:
            names = [f"{name} {one.version}" for name, one in sorted(missing.items())]
            shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
            raise Unavailable(
                f"the mirror does not give {len(names)} of {len(lock.packages)} packages as they are locked: {shown}",
                hint=f"Debian replaces packages: run `larva image lock`; the log: {log_file}",
            )

    def _fetch(
        self, wanted: dict[str, Locked], mirror: Mirror, log_file: Path, *, security_first: bool
    ) -> None:  # fmt: skip
        """Fetch what can be had; of a package in both archives the file is the same."""
        process.require_programs(FETCH)
        self.directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.directory, prefix=".fetch-") as scratch:
            argv: list[str | Path] = [FETCH, "--option=APT::Sandbox::User=root", "--option=Acquire::Retries=3"]
            argv.append("download-file")
            for one in wanted.values():
                security = one.security is security_first
                base = f"{mirror.security}/pool/updates/main" if security else f"{mirror.main}/pool/main"
                argv += [f"{base}/{one.path}", Path(scratch) / f"{one.sha256}.deb", f"SHA256:{one.sha256}"]
            process.run(argv, timeout=TIMEOUT_S, log_file=log_file, ok_codes=(0, 100))
            for one in wanted.values():
                if _is(file := Path(scratch) / f"{one.sha256}.deb", one.sha256):
                    file.replace(self.path(one))
                    os.utime(self.path(one))

    def prune(self, *, now: float) -> list[Path]:
        """Remove packages that no build asked for lately, and what killed builds left; return what is gone.

        Args:
            now: Unix seconds.
        """
        old = [path for path in self.directory.glob("*.deb") if path.stat().st_mtime < now - UNUSED_S]
        for path in old:
            path.unlink()
        left = [path for path in self.directory.glob(".fetch-*") if path.stat().st_mtime < now - UNUSED_S]
        for path in left:
            shutil.rmtree(path)
        return old + left

    def repository(self, lock: Lock, place: Path) -> str:
        """Make a repository of exactly the locked packages at `place` and return its line of sources.list(5).

        The files are linked, not copied. Nobody signs it: every file was compared with the lock.
        """
        place.mkdir()
        paragraphs = []
        for name, one in sorted(lock.packages.items()):
            file = place / PurePosixPath(one.path).name
            os.link(self.path(one), file)
            control = process.run(["dpkg-deb", "--field", file], timeout=30).rstrip("\n")
            if f"Package: {name}\n" not in f"{control}\n" or f"Version: {one.version}\n" not in f"{control}\n":
                raise ProgramFailed(f"the file that is locked as {name} {one.version} is another package")
            paragraphs.append(f"{control}\nFilename: ./{file.name}\nSize: {one.size}\nSHA256: {one.sha256}\n")
        (place / "Packages").write_text("\n".join(paragraphs))
        return f"deb [trusted=yes] copy:{place} ./"


def _is(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
