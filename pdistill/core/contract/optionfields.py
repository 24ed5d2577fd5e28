"""Fields that declare options: flags, help, TOML schema, docs and checks all come from the one declaration."""

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import MISSING, field, fields
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args, get_type_hints

from pdistill.core.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    D = TypeVar("D", bound=DataclassInstance)

T = TypeVar("T")
Stage = Literal["generate", "train", "input"]
KEY = "option"
ADDRESS = "address_of"


class OptionSpec(NamedTuple):
    """What is declared of an option besides its type and default.

    Args:
        help: a noun phrase or an imperative, without a full stop and without the default.
        section: the heading in `pdistill run --help`.
        stage: the stage that records the option; "input" if a file's content is recorded; None if it may change at any time.
        default_text: what the help says of the default, such as "the model's" if it is None.
        above: the value must be greater than this.
        minimum: the least value.
        maximum: the greatest value.
        flag: the flag, if it is not the field's name with hyphens.
        metavar: the placeholder of the value, if the type doesn't tell.
        repeatable: whether the flag can be used several times.
    """

    help: str = ""
    section: str = ""
    stage: Stage | None = None
    default_text: str = ""
    above: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    flag: str = ""
    metavar: str = ""
    repeatable: bool = False

    @property
    def bounds(self) -> str:
        """The range in words, such as "above 0 and at most 1"; empty without one."""
        limits = (("above", self.above), ("at least", self.minimum), ("at most", self.maximum))
        return " and ".join(f"{words} {_shown(limit)}" for words, limit in limits if limit is not None)

    def holds(self, number: float) -> bool:
        """Return whether a number is in the range; only a finite one can be."""
        return (
            -math.inf < number < math.inf
            and (self.above is None or number > self.above)
            and (self.minimum is None or number >= self.minimum)
            and (self.maximum is None or number <= self.maximum)
        )


class Option(NamedTuple):
    """An option of a dataclass: its name, its type (without None), its default and what is declared of it."""

    name: str
    type: Any
    default: Any
    spec: OptionSpec

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return self.spec.flag or f"--{self.name.replace('_', '-')}"

    @property
    def default_note(self) -> str:
        """The default as it follows the help, such as " (default: 32)"; empty without one."""
        shown = self.spec.default_text or default_text(self.default)
        return f" (default: {shown})" if shown else ""

    @property
    def description(self) -> str:
        """The help, with the default."""
        return f"{self.spec.help}{self.default_note}"


def option(
    default: T,
    help: str,
    section: str = "",
    stage: Stage | None = None,
    *,
    default_text: str = "",
    above: float | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    flag: str = "",
    metavar: str = "",
    repeatable: bool = False,
    changes_rows: bool = True,
    address_of: tuple[str, str] | None = None,
) -> T:
    """Return a dataclass field that declares an option, see OptionSpec.

    Args:
        default: a dict is copied for each instance.
        changes_rows: False for an option that can't change an answer or a weight, such as a number of concurrent requests.
        address_of: for the address of a service: the environment variables that hold its address and the user's key. Where
            the key is set, an address that only a stored run names must be confirmed.
    """
    spec = OptionSpec(help, section, stage, default_text, above, minimum, maximum, flag, metavar, repeatable)
    metadata = {KEY: spec, "changes_rows": changes_rows, ADDRESS: address_of}
    if isinstance(default, dict):
        return field(default_factory=lambda: copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def declared(help: str, section: str = "") -> Mapping[str, OptionSpec]:
    """Return the metadata of a field that declares an option without a default: `field(metadata=declared(...))`."""
    return {KEY: OptionSpec(help, section)}


def options_of(owner: "type[DataclassInstance]") -> list[Option]:
    """Return the options that a dataclass declares, in the order of its fields; a field without `option` has no help."""
    items = fields(owner)
    are_texts = any(isinstance(item.type, str) for item in items)  # with `from __future__ import annotations`
    types = get_type_hints(owner) if are_texts else {item.name: item.type for item in items}
    declared = []
    for item in items:
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        spec = item.metadata.get(KEY, OptionSpec())
        declared.append(
            Option(item.name, _without_none(types[item.name]), None if default is MISSING else default, spec)
        )
    return declared


def documented(owner: "type[D]") -> "type[D]":
    """Return the dataclass with an `Args:` part in its docstring, made from the help of its options."""
    arguments = "\n".join(f"        {option.name}: {option.description}." for option in options_of(owner))
    owner.__doc__ = f"{(owner.__doc__ or '').rstrip()}\n\n    Args:\n{arguments}\n    "
    return owner


def check_ranges(options: "DataclassInstance", owner: str = "") -> None:
    """Guarantee that the numbers are in the ranges that are declared.

    Args:
        owner: whose options they are, such as "backend local"; without it, options are named by their flags.

    Raises:
        UsageError: one is not.
    """
    for option in options_of(type(options)):
        value = getattr(options, option.name)
        if not option.spec.bounds or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not option.spec.holds(value):
            name = f"option {option.name} of {owner}" if owner else option.flag
            finite = "" if -math.inf < value < math.inf else "a finite number "
            raise UsageError(f"invalid value {value} for {name}: must be {finite}{option.spec.bounds}")


def as_text(value: Any) -> str:
    """Return an option's value as the user would type it, so that a TOML value and a flag can be compared."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def default_text(default: object) -> str:
    """Return a default as the help shows it; empty for None, False and what is empty."""
    if default is None or default is False or default in ((), {}, ""):
        return ""
    return f"{default:g}" if isinstance(default, float) else as_text(default)


def _shown(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def _without_none(hint: Any) -> Any:
    """Return the type of an optional value; other types as they are."""
    others = [part for part in get_args(hint) if part is not NoneType]
    return others[0] if NoneType in get_args(hint) and len(others) == 1 else hint
