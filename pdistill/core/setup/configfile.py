"""The options of a run in a TOML file (`--config`): its keys are the names of the options."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from pdistill.core.contract.jsontext import JsonObject
from pdistill.core.errors import UsageError, unknown
from pdistill.core.setup.config import OPTIONS, PATHS, TABLES

CHECK = "check"
NO_ALARMS = "no_alarms"
"""The one key in its table that is not a threshold."""
FARTHEST = 1_000
"""The greatest threshold, and with a minus sign the least."""
RENAMED = {"from": "from_run"}
"""Keys that are not the option's own name: `from` is a word of Python."""
NUMBERS = ("held_out",)
"""Keys that take a number or a path."""


def read_config_file(path: Path) -> JsonObject:
    """Return the options in a TOML file, as values for Config.

    Keys have hyphens or underscores; paths are relative to the file; `[backend-options.teacher]` is for one model only.

    Raises:
        UsageError: the file can't be read or is not valid TOML; an unknown key, with the nearest.
    """
    values = _known(path)
    for key in PATHS:
        if key in values and not (key in NUMBERS and isinstance(values[key], int | float)):
            if not isinstance(values[key], str):
                raise UsageError(f"{key.replace('_', '-')} in '{path}' is {values[key]!r}, not a path in quotes")
            values[key] = path.parent / values[key]
    for key in TABLES:
        if key in values:
            values[key] = _table(values[key], key, path)
    if isinstance(values.get("stop"), str):
        values["stop"] = (values["stop"],)
    return values


def read_thresholds(path: Path) -> dict[str, float]:
    """Return the thresholds in the table `[check]` of a TOML file, by the names of the flags of `pdistill check`.

    Raises:
        UsageError: the file can't be read or is not valid TOML; a value that is not a number.
    """
    table = _read(path).get(CHECK, {})
    if not isinstance(table, Mapping):
        raise UsageError(
            f"check in '{path}' is {table!r}, not a table; write [check] and below it one KEY = VALUE per line"
        )
    for key, value in table.items():
        if (
            isinstance(value, bool) != (_name(key) == NO_ALARMS)
            or not isinstance(value, int | float)
            or not abs(value) <= FARTHEST
        ):
            wanted = "true or false" if _name(key) == NO_ALARMS else f"a number up to {FARTHEST:,}"
            raise UsageError(f"{key} in [check] of '{path}' is {value!r}, not {wanted}")
    return {_name(key): float(value) for key, value in table.items()}


def _read(path: Path) -> JsonObject:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"can't read '{path}': {(error.strerror or str(error)).lower()}") from None
    except (ValueError, RecursionError) as error:
        reason = str(error)[0].lower() + str(error)[1:]
        raise UsageError(f"'{path}' is not valid TOML: {reason}") from None


def _known(path: Path) -> JsonObject:
    read = _read(path)
    values = {RENAMED.get(key, _name(key)): value for key, value in read.items() if key != CHECK}
    known = [option.name for option in OPTIONS]
    for key in values:
        if key not in known:
            raise unknown(f"key in '{path}':", key, known)
    return values


def _table(table: object, key: str, path: Path) -> JsonObject:
    name = key.replace("_", "-")
    if not isinstance(table, Mapping):
        raise UsageError(
            f"{name} in '{path}' is {table!r}, not a table; write [{name}] and below it one KEY = VALUE per line"
        )
    flat: JsonObject = {}
    for inner, value in table.items():
        if isinstance(value, Mapping):
            flat |= {f"{inner}.{_name(last)}": item for last, item in value.items()}
        else:
            flat[_name(inner)] = value
    return flat


def _name(key: str) -> str:
    return key.replace("-", "_")
