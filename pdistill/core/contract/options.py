"""Typed options of backends and tasks: `key=value` texts are coerced into a component's own frozen dataclass."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pdistill.core.errors import UsageError, unknown

T = TypeVar("T")


def parse_pairs(pairs: Sequence[str], flag: str) -> dict[str, str]:
    """Return {key: value} of texts like "key=value"; a later one wins.

    Raises:
        UsageError: a text has no "=".
    """
    parsed = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} '{pair}' is not key=value")
        parsed[key.strip().replace("-", "_")] = value
    return parsed


def build(options: type[T], values: Mapping[str, Any], owner: str) -> T:
    """Return an instance of the dataclass `options` from texts or TOML values, coerced to its fields' types.

    Args:
        owner: whose options they are, for error messages, such as "backend local".

    Raises:
        UsageError: an unknown key, with the nearest; a value that is not of the field's type.
    """
    from pydantic import TypeAdapter, ValidationError

    hints = get_type_hints(options)
    known = [field.name for field in fields(options)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise unknown(f"option of {owner}:", key, known)
    split = {key: _split(value, hints[key]) for key, value in values.items()}
    try:
        return TypeAdapter(options).validate_python(split)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0])
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UsageError(f"option {key} of {owner}: {values.get(key)!r} won't do, {message}") from None


def as_text(value: Any) -> str:
    """Return an option's value as the user would type it, so that a TOML value and a flag can be compared."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _split(value: Any, hint: Any) -> Any:
    """Return a comma-separated text as a list where the field is a tuple."""
    is_tuple = tuple in (get_origin(hint), *map(get_origin, get_args(hint)))
    return [part.strip() for part in value.split(",")] if isinstance(value, str) and is_tuple else value
