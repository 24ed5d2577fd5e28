"""JSON text: parsed strictly, and written so that equal values give equal texts."""

import json
from typing import Any


def parse_json(text: str) -> Any:
    """Return the value of a JSON text; 2.0 is 2, as in JSON schemas.

    Raises:
        ValueError: it is not valid JSON.
    """
    try:
        return json.loads(text, parse_float=_number, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def canonical_json(value: Any) -> str:
    """Return a JSON value as text that is the same for equal values, whatever the order of their keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
