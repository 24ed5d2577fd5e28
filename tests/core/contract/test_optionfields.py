from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from pdistill.backends.fake.options import FakeOptions
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.openai import OpenAIOptions
from pdistill.backends.tinker import TinkerOptions
from pdistill.core.contract.optionfields import OptionSpec, check_ranges, declared, documented, option, options_of
from pdistill.core.contract.options import build
from pdistill.core.errors import UsageError
from pdistill.core.setup.config import Config
from pdistill.core.writing.settings import WriteConfig


@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Options of a test."""

    place: str = field(metadata=declared("Place of the work"))
    rate: float | None = option(None, "Rate of the work", default_text="the model's", above=0)
    share: float = option(0.5, "Share of the work", above=0, maximum=1)
    count: int = option(3, "Number of workers", minimum=1, changes_rows=False)
    mode: Literal["a", "b"] = option("a", "Mode")
    extra: Mapping[str, int] = option({}, "More", flag="-X")
    plain: bool = False


def test_a_field_declares_type_default_help_and_flag() -> None:
    options = {option.name: option for option in options_of(Declared)}
    assert options["rate"].type is float
    assert (options["rate"].flag, options["extra"].flag) == ("--rate", "-X")
    assert options["rate"].description == "Rate of the work (default: the model's)"
    assert options["share"].description == "Share of the work (default: 0.5)"
    assert (options["place"].default, options["extra"].default, options["plain"].default) == (None, {}, False)
    assert options["plain"].description == ""


def test_each_instance_has_a_mapping_of_its_own() -> None:
    first, second = Declared(place="x"), Declared(place="x")
    assert first.extra == second.extra == {}
    assert first.extra is not second.extra


def test_the_docstring_lists_the_options() -> None:
    assert Declared.__doc__ is not None
    assert "Options of a test.\n\n    Args:\n        place: Place of the work.\n" in Declared.__doc__
    assert "        count: Number of workers (default: 3).\n" in Declared.__doc__


@pytest.mark.parametrize("owner", [Config, WriteConfig, FakeOptions, LocalOptions, OpenAIOptions, TinkerOptions])
def test_every_number_of_ours_has_a_least_and_a_greatest_value(owner: type[Any]) -> None:
    specs = {option.name: option.spec for option in options_of(owner) if option.type in (int, float)}
    specs.pop("expire", None)  # TinkerOptions checks it
    open_ended = {name for name, spec in specs.items() if spec.maximum is None or spec.above is spec.minimum is None}
    assert not open_ended


def test_the_range_in_words_is_readable() -> None:
    assert OptionSpec(minimum=1, maximum=10**9).bounds == "at least 1 and at most 1,000,000,000"
    assert OptionSpec(above=0, maximum=0.5).bounds == "above 0 and at most 0.5"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 0.0}, "invalid value 0.0 for --rate: must be above 0"),
        ({"share": 1.5}, "invalid value 1.5 for --share: must be above 0 and at most 1"),
        ({"share": float("nan")}, "invalid value nan for --share: must be a finite number above 0 and at most 1"),
        ({"rate": float("inf")}, "invalid value inf for --rate: must be a finite number above 0"),
        ({"count": 0}, "invalid value 0 for --count: must be at least 1"),
        ({"share": 10**400}, "for --share: must be above 0 and at most 1"),
    ],
)
def test_a_number_out_of_range_is_named_by_its_flag(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_ranges(Declared(place="x", **values))


def test_numbers_on_the_bounds_are_in_range() -> None:
    check_ranges(Declared(place="x", share=1, count=1, rate=1e-9))


def test_a_built_component_is_checked_and_named_by_its_owner() -> None:
    with pytest.raises(UsageError, match="invalid value 0 for option count of backend x: must be at least 1"):
        build(Declared, {"place": "x", "count": "0"}, "backend x")
