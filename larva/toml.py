"""Write TOML; the standard library only reads it."""

import json
from collections.abc import Mapping, Sequence

from larva import codec


def encode(value: object) -> str:
    """Return `value`, a dataclass or mapping, as a TOML document.

    None is left out, since TOML has no word for it. Covered is what our own files hold: strings, numbers,
    booleans, lists of these, and tables (TOML 1.0.0, https://toml.io/en/v1.0.0).
    """
    table = codec.to_builtins(value)
    if not isinstance(table, Mapping):
        raise TypeError(f"a TOML document is a table, not {type(value).__name__}")
    return "\n".join(_lines(table, ())).strip() + "\n"


def _lines(table: Mapping[str, object], path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping) and value is not None}
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = ["", f"[{'.'.join(_string(part) if not _is_bare(part) else part for part in path)}]"] if path else []
    lines += [f"{key if _is_bare(key) else _string(key)} = {_value(value)}" for key, value in plain.items()]
    for key, inner in tables.items():
        lines += _lines(inner, (*path, key))
    return lines


def _is_bare(key: str) -> bool:
    return key.isascii() and key.replace("-", "").replace("_", "").isalnum()


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"no TOML form for {type(value).__name__}")


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
