"""Whether a CLADNet's packets are encrypted, and which data paths may carry them then: pure."""

from collections.abc import Iterable

from cladnet.model import DatapathKind, Encryption
from larva.errors import InvalidInput

PLAINTEXT = frozenset({DatapathKind.VXLAN})
"""Data paths that anybody on the way can read and forge."""
IN_ORDER = tuple(kind for kind in DatapathKind if kind != DatapathKind.AUTO)
WARNING = (
    "encryption is off: whoever is on the way between two hosts reads and forges what they say to each other; "
    "this is for hosts that share a private network already, never for the internet"
)


def kinds(asked: DatapathKind, encryption: Encryption) -> tuple[DatapathKind, ...]:
    """The data paths that may carry a CLADNet, in the order in which they are tried; none when the two do not fit."""
    fitting = (kind for kind in IN_ORDER if (kind in PLAINTEXT) == (encryption == Encryption.OFF))
    return tuple(kind for kind in fitting if asked in (kind, DatapathKind.AUTO))


def check(asked: DatapathKind, encryption: Encryption) -> None:
    """Raise InvalidInput when no data path of the kind asked for does what `encryption` says."""
    if kinds(asked, encryption):
        return
    if asked in PLAINTEXT:
        raise InvalidInput(
            f"the data path {asked} does not encrypt, and encryption is on",
            hint="say so on purpose: --encryption off; or leave the data path to auto",
        )
    raise InvalidInput(
        f"the data path {asked} encrypts, and encryption is off",
        hint=f"with encryption off take {named(PLAINTEXT)} or auto: --datapath auto",
    )


def named(some: Iterable[DatapathKind]) -> str:
    """Several kinds, for people."""
    return ", ".join(sorted(some))
