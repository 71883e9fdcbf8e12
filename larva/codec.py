"""Turn frozen dataclasses into JSON or TOML and back; data from outside is checked here and trusted inside."""

import ipaddress
from collections.abc import Mapping, Sequence
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
_FORMATS = {ipaddress.IPv4Address: "ipv4", ipaddress.IPv6Address: "ipv6"}
"""Those that JSON Schema knows by name (draft 2020-12, validation, section 7.3.4)."""


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


def from_texts(values: Mapping[str, str], wanted: type[T], *, source: str) -> T:
    """Return the `wanted` value that texts by name describe, as a URL's query has them: `3` is a number there.

    Raises:
        MalformedData: the message names the field.
    """
    try:
        return msgspec.convert(values, type=wanted, dec_hook=_decode_hook, strict=False)
    except msgspec.ValidationError as error:
        raise _malformed(source, error) from error


def schemas(types: Sequence[Any], *, reference: str) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """Return the JSON Schema (draft 2020-12) of each type as it is encoded here, and the schemas that these refer to.

    Args:
        reference: where the latter are going to stand, as `#/components/schemas/{name}`.
    """
    found, named = msgspec.json.schema_components(types, schema_hook=_schema_hook, ref_template=reference)
    return tuple(_portable(each) for each in found), _portable(named)


def _schema_hook(kind: type[Any]) -> dict[str, Any]:
    if kind in _TEXTUAL:
        return {"type": "string", **({"format": _FORMATS[kind]} if kind in _FORMATS else {})}
    raise NotImplementedError(f"no JSON form for {kind.__name__}")


def _portable(schema: Any) -> Any:
    """Python's anchors, which other languages' regular expressions do not know, as everybody's."""
    if isinstance(schema, dict):
        return {
            name: value.replace(r"\A", "^").replace(r"\Z", "$") if name == "pattern" and isinstance(value, str)
            else _portable(value)
            for name, value in schema.items()
        }  # fmt: skip
    return [_portable(each) for each in schema] if isinstance(schema, list | tuple) else schema
