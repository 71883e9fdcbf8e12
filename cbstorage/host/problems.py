"""What went wrong in one look at a host: one part's trouble does not keep the others from their work."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from larva.errors import LarvaError, SystemRefused


@dataclass
class Problems:
    """What was kept so far."""

    found: list[LarvaError] = field(default_factory=list)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep an error of ours, or the system's refusal (a full disk), and go on behind the block."""
        try:
            yield
        except LarvaError as error:
            self.found.append(error)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            self.found.append(SystemRefused(f"{where}{error.strerror or error}"))

    def text(self) -> str:
        """All of them for people."""
        return "\n".join(words(one) for one in self.found)


def words(error: LarvaError) -> str:
    """An error and what to do, in one line."""
    return f"{error.message}{f' ({error.hint})' if error.hint else ''}"
