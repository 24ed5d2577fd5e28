"""JSON text: parsed strictly, and written so that equal values give equal texts."""

import json
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
"""A JSON object that was read or is to be written; its values are checked by the type that is made of it."""
JsonObject = dict[str, Any]
"""A JSON object that was just read."""
Keys = Mapping[str, type | tuple[type, ...]]
"""The keys that a reader of rows needs, with the types of their values; a type None is that of a missing key too."""
OptionValues = Mapping[str, Any]
"""Options by name, as texts or as TOML values."""


def parse_json(text: str) -> Any:
    """Return the value of a JSON text; 2.0 is 2, as in JSON schemas.

    Raises:
        ValueError: it is not valid JSON.
    """
    try:
        return json.loads(text, parse_float=_number, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def check_keys(row: Row, keys: Keys) -> None:
    """Guarantee that a row has these keys.

    Raises:
        TypeError: a value is of another type.
    """
    for key, kind in keys.items():
        value = row.get(key)
        if not isinstance(value, kind):
            raise TypeError(f"{key} is {value!r:.40}" if key in row else f"{key} is missing")


def canonical_json(value: Any) -> str:
    """Return a JSON value as text that is the same for equal values, whatever the order of their keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
