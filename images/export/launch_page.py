"""The page that tells how an exported disk is launched, made from the table of targets."""

from datetime import UTC, datetime
from pathlib import Path
from string import Template

from images.artifact import Artifact
from images.export.targets import Target

PAGE = Path(__file__).parent / "launch.md"


def render(target: Target, file: Artifact, *, source: str, epoch: int) -> str:
    """Return the page as Markdown.

    Args:
        file: what is uploaded.
        source: the stage that the disk came from.
        epoch: the image's time, Unix seconds.
    """
    commands = Template(target.commands.strip()).safe_substitute(file=file.name, name=image_name(file.name))
    return Template(PAGE.read_text()).substitute(
        title=target.title, file=file.name, sha256=file.sha256, source=source, system=target.system,
        user_data=target.user_data, commands=commands, made=datetime.fromtimestamp(epoch, UTC).date().isoformat(),
        notes="\n".join(f"- {note}" for note in target.notes),
        sources="\n".join(f"- <{one}>" for one in target.sources),
    )  # fmt: skip


def image_name(file: str) -> str:
    """Return what the image is called where only lower case letters, digits and dashes are taken."""
    stem = file.removesuffix(".gz").rpartition(".")[0]
    return "".join(letter if letter.isalnum() else "-" for letter in stem.lower())
