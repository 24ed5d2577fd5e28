"""Dataclasses from their rows: what `dataclasses.asdict` has written as JSON becomes the same record again."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

Record = TypeVar("Record")


def from_row(kind: type[Record], row: Mapping[str, object]) -> Record:
    """Return the record of a row that a version with the same schema wrote.

    Keys that the record does not have are ignored, since a later version may add some; a missing key is None where the
    field allows it, since an earlier version may not have written it.

    Raises:
        ValueError: a key is missing, or holds no object where one is needed.
    """
    return cast("Record", _read(kind, row))


def _read(kind: Any, value: Any) -> Any:
    if _is_record(kind):
        if not _fits(kind, value):
            raise ValueError(f"{value!r:.40} is not a row of {kind}")
        return kind(**{name: _read(each, value.get(name)) for name, each in _fields(kind).items()})
    origin, members = get_origin(kind), get_args(kind)
    if origin is list and isinstance(value, list):
        return [_read(members[0], item) for item in value]
    if origin is dict and isinstance(value, Mapping):
        return {key: _read(members[1], item) for key, item in value.items()}
    if origin in (Union, UnionType) and value is not None:
        records = (member for member in members if _is_record(member) and _fits(member, value))
        return _read(next(records, members[0]), value)
    return value


def _fits(kind: Any, value: object) -> bool:
    """Return whether a value has every key that a dataclass needs."""
    needed = (name for name, each in _fields(kind).items() if NoneType not in get_args(each) and each is not NoneType)
    return isinstance(value, Mapping) and all(name in value for name in needed)


def _is_record(kind: Any) -> bool:
    return is_dataclass(kind)


@cache
def _fields(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
