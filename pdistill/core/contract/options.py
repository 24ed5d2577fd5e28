"""Values of options: `key=value` texts and TOML values become an instance of a component's own frozen dataclass."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, get_origin

from pdistill.core.contract.jsontext import OptionValues
from pdistill.core.contract.optionfields import as_text, check_ranges, options_of
from pdistill.core.errors import UsageError, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    D = TypeVar("D", bound=DataclassInstance)

__all__ = ["as_text", "build", "parse_pairs"]


def parse_pairs(pairs: Sequence[str], flag: str) -> dict[str, str]:
    """Return {key: value} of texts like "key=value"; a later one wins.

    Raises:
        UsageError: a text has no "=".
    """
    parsed = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} '{pair}' is not of the form KEY=VALUE")
        parsed[key.strip().replace("-", "_")] = value
    return parsed


def build(options: "type[D]", values: OptionValues, owner: str) -> "D":
    """Return an instance of the dataclass `options` from texts or TOML values, coerced to its fields' types.

    Args:
        owner: whose options they are, for error messages, such as "backend local".

    Raises:
        UsageError: an unknown key, with the nearest; a value of the wrong type or out of range.
    """
    from pydantic import TypeAdapter, ValidationError

    types = {option.name: option.type for option in options_of(options)}
    for key in values:
        if key not in types:
            raise unknown(f"option of {owner}:", key, types)
    split = {key: _split(value, types[key]) for key, value in values.items()}
    try:
        made = TypeAdapter(options).validate_python(split)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UsageError):  # of __post_init__: pydantic wraps it, as it is a ValueError
            raise cause from None
        key = str(first["loc"][0])
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UsageError(f"invalid value {values.get(key)!r} for option {key} of {owner}: {message}") from None
    check_ranges(made, owner)
    return made


def _split(value: Any, type: Any) -> Any:
    """Return a comma-separated text as a list if the field is a tuple."""
    return (
        [part.strip() for part in value.split(",")] if isinstance(value, str) and get_origin(type) is tuple else value
    )
