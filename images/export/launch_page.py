"""How an exported disk is launched, made from the table of targets: as values, and as a page."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from images.artifact import Artifact
from images.export.targets import Target

PAGE = Path(__file__).parent / "launch.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What somebody needs who launches the disk; in `commands`, words in capitals are his to fill in."""

    title: str
    system: str
    user_data: str
    commands: str
    notes: tuple[str, ...]
    sources: tuple[str, ...]


def launch(target: Target, file: Artifact) -> Launch:
    """Return how what is in `file` is launched."""
    commands = Template(target.commands.strip()).safe_substitute(file=file.name, name=image_name(file.name))
    return Launch(
        title=target.title, system=target.system, user_data=target.user_data, commands=commands, notes=target.notes,
        sources=target.sources,
    )  # fmt: skip


def render(how: Launch, file: Artifact, *, source: str, epoch: int) -> str:
    """Return the page as Markdown.

    Args:
        file: what is uploaded.
        source: the stage that the disk came from.
        epoch: the image's time, Unix seconds.
    """
    return Template(PAGE.read_text()).substitute(
        title=how.title, file=file.name, sha256=file.sha256, source=source, system=how.system,
        user_data=how.user_data, commands=how.commands, made=datetime.fromtimestamp(epoch, UTC).date().isoformat(),
        notes="\n".join(f"- {note}" for note in how.notes),
        sources="\n".join(f"- <{one}>" for one in how.sources),
    )  # fmt: skip


def image_name(file: str) -> str:
    """Return what the image is called where only lower case letters, digits and dashes are taken."""
    stem = file.removesuffix(".gz").rpartition(".")[0]
    return "".join(letter if letter.isalnum() else "-" for letter in stem.lower())
