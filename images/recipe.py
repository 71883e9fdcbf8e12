"""Recipes: what an image profile is made of, as data."""

from dataclasses import dataclass
from pathlib import Path

from larva import codec
from larva.errors import NotFound

RECIPES = Path(__file__).parent / "recipes"
TOOLS = Path(__file__).parent / "tools.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One profile.

    Args:
        suite: Debian's code name; `python` is the Python of that suite.
        epoch: Unix seconds; nothing in the image is newer (SOURCE_DATE_EPOCH, reproducible-builds.org).
        disk_mib: size of the disk before a cloud grows it, MiB.
        exclude, include: path patterns of dpkg(1) `--path-exclude` and `--path-include`.
        enable, disable, mask: systemd units of the appliance.
    """

    name: str
    suite: str
    python: str
    epoch: int
    disk_mib: int
    packages: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()


def profiles(directory: Path = RECIPES) -> tuple[str, ...]:
    """Return the names of all profiles."""
    return tuple(sorted(file.stem for file in directory.glob("*.toml")))


def load(profile: str, directory: Path = RECIPES) -> Recipe:
    """Return the recipe of `profile`.

    Raises:
        NotFound: there is no such profile.
        MalformedData: its file does not describe a recipe.
    """
    if profile not in profiles(directory):
        raise NotFound(f"there is no image profile {profile!r}", hint=f"profiles: {', '.join(profiles(directory))}")
    return codec.read_toml(directory / f"{profile}.toml", Recipe)


def tools() -> Recipe:
    """Return the recipe of the tree whose programs make the disk."""
    return codec.read_toml(TOOLS, Recipe)
