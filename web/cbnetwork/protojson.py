"""Protocol Buffers' JSON: camelCase names, every field written, unknown ones ignored, absent and null the default.

The old service was gRPC behind grpc-gateway, whose JSON this is (protobuf.dev, "ProtoJSON Format").
"""

import dataclasses
import types
import typing
from typing import Any, TypeVar

from larva import codec
from larva.errors import InvalidInput, MalformedData

T = TypeVar("T")


def camel(name: str) -> str:
    """The JSON name of a field: `ipv4_address_space` → `ipv4AddressSpace`."""
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)


def write(message: object) -> bytes:
    """Return a message, a dataclass, as JSON; fields that have their default are written too."""
    return codec.encode(_plain(message)) + b"\n"


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return {camel(field.name): _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def read(data: bytes, kind: type[T]) -> T:
    """Return the message that a request's body describes; an empty body is an empty message.

    Raises:
        InvalidInput: it is no JSON object, or a field has the wrong type; the message holds the path to it.
    """
    if not data.strip():
        return kind()
    try:
        found = codec.decode(data, Any, source="request body")
    except MalformedData as error:
        raise InvalidInput(error.message) from error
    return _message(found, kind, "$")


def _message(found: object, kind: type[T], path: str) -> T:
    if not isinstance(found, dict):
        raise InvalidInput(f"{path}: expected an object, found {_name(found)}")
    fields = {_loose(name): name for name in typing.get_type_hints(kind)}
    hints = typing.get_type_hints(kind)
    values: dict[str, object] = {}
    for key, value in found.items():
        name = fields.get(_loose(key))
        if name is None or value is None:
            continue
        if name in values:
            raise InvalidInput(f"{path}.{key}: given twice")
        values[name] = _value(value, hints[name], f"{path}.{key}")
    return kind(**values)


def _loose(key: str) -> str:
    """A field's name however it is spelt: CB-Tumblebug sends `cladnetID` for `cladnetId`, the proto name has `_`."""
    return key.replace("_", "").lower()


def _value(value: object, hint: Any, path: str) -> object:
    if isinstance(hint, types.UnionType):
        (hint,) = (each for each in typing.get_args(hint) if each is not type(None))
    if dataclasses.is_dataclass(hint):
        return _message(value, typing.cast("type[object]", hint), path)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise InvalidInput(f"{path}: expected an array, found {_name(value)}")
        kind = typing.get_args(hint)[0]
        return tuple(_value(each, kind, f"{path}[{number}]") for number, each in enumerate(value))
    if not isinstance(value, hint) or isinstance(value, bool) != (hint is bool):
        raise InvalidInput(f"{path}: expected {_NAMES[hint]}, found {_name(value)}")
    return value


_NAMES = {str: "a string", bool: "true or false", int: "a whole number", dict: "an object", list: "an array"}


def _name(value: object) -> str:
    return _NAMES.get(type(value), "null" if value is None else "a number")
