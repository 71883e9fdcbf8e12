"""Where an exported disk goes: facts about each provider, as data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from images.formats.table import FORMATS
from larva import codec
from larva.errors import InvalidInput, MalformedData

TABLE = Path(__file__).parent / "targets.toml"
ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One provider or hypervisor; the fields are explained in targets.toml."""

    title: str
    format: str
    multiple_mib: int
    system: str
    user_data: str
    datasource: str
    identity: Mapping[str, str]
    disks: tuple[str, ...]
    cards: tuple[str, ...]
    commands: str
    notes: tuple[str, ...]
    sources: tuple[str, ...]


def load(table: Path = TABLE) -> dict[str, Target]:
    """Return every target by its name.

    Raises:
        MalformedData: the table is not what it should be, or names a format that nobody writes.
    """
    targets = codec.read_toml(table, dict[str, Target])
    for name, target in targets.items():
        if target.format not in FORMATS:
            raise MalformedData(f"{table}: {name}: there is no format {target.format!r}")
    return targets


def chosen(names: Iterable[str], table: Path = TABLE) -> dict[str, Target]:
    """Return the targets of those names; `all` stands for every one.

    Raises:
        InvalidInput: there is no such target.
    """
    targets = load(table)
    wanted = dict.fromkeys(names)
    unknown = [name for name in wanted if name != ALL and name not in targets]
    if unknown:
        raise InvalidInput(f"there is no target {', '.join(unknown)}", hint=f"targets: {', '.join(targets)}, {ALL}")
    return targets if ALL in wanted else {name: targets[name] for name in wanted}
