"""Turn frozen dataclasses into JSON or TOML and back; data from outside is checked here and trusted inside."""

import ipaddress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from larva.errors import MalformedData

T = TypeVar("T")

_LONGEST_REASON = 300
_LONGEST_PLACE = 200

_TEXTUAL = (
    ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network,
    ipaddress.IPv4Interface, ipaddress.IPv6Interface, Path,
)  # fmt: skip


def _encode_hook(value: object) -> str:
    if isinstance(value, _TEXTUAL):
        return str(value)
    raise NotImplementedError(f"no JSON form for {type(value).__name__}")


def _decode_hook(wanted: type[Any], value: object) -> object:
    if wanted in _TEXTUAL and isinstance(value, str):
        return wanted(value)
    raise ValueError(f"expected {wanted.__name__}, found {value!r}")


def _malformed(source: str, error: Exception) -> MalformedData:
    """What the parser says repeats the value it could not read, and whoever wrote that may have written a lot."""
    told = str(error)
    where = told[told.rfind(" - at `") :][:_LONGEST_PLACE] if " - at `" in told else ""
    return MalformedData(f"{source}: {told if len(told) <= _LONGEST_REASON else told[:_LONGEST_REASON] + ' …' + where}")


def encode(value: object) -> bytes:
    """Return compact JSON; equal values give equal bytes.

    Raises:
        MalformedData: a text holds what is no character, as an argument of a command that is not UTF-8 does.
    """
    try:
        return msgspec.json.encode(value, enc_hook=_encode_hook, order="deterministic")
    except UnicodeEncodeError as error:
        raise MalformedData(f"{error.object[error.start : error.end]!a} is no character") from error


def to_builtins(value: object) -> Any:
    """Return `value` as dicts, lists, strings and numbers, as its JSON would hold them."""
    return msgspec.to_builtins(value, enc_hook=_encode_hook, str_keys=True)


def decode(data: bytes | str, wanted: type[T], *, source: str) -> T:
    """Return the `wanted` value that JSON `data` describes.

    Unknown fields are ignored, so that an older reader survives a newer writer.

    Args:
        source: where the data came from, for the error: a key, a file name, a URL.

    Raises:
        MalformedData: the message holds the path inside the data, as `$.hosts[3].publicIP`.
    """
    try:
        return msgspec.json.decode(data, type=wanted, dec_hook=_decode_hook)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(source, error) from error


def convert(value: object, wanted: type[T], *, source: str) -> T:
    """Like decode, from dicts and lists that are parsed already."""
    try:
        return msgspec.convert(value, type=wanted, dec_hook=_decode_hook, str_keys=True)
    except msgspec.ValidationError as error:
        raise _malformed(source, error) from error


def read_toml(path: Path, wanted: type[T]) -> T:
    """Return the `wanted` value that the TOML file describes; MalformedData names the file and the path inside it."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=wanted, dec_hook=_decode_hook)
    except OSError as error:
        raise MalformedData(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _malformed(str(path), error) from error
