"""The backend's `-B` options, and how a model's tokenizer is found."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pdistill.backends.tinker import TinkerOptions
from pdistill.backends.tinker.tokenizer import hub_name, load_tokenizer
from pdistill.core.contract.options import build
from pdistill.core.errors import BackendError, UsageError
from pdistill.core.setup.models import row_options


def test_options_are_parsed_from_strings() -> None:
    options = build(TinkerOptions, {"thinking": "true", "window": "8", "expire": "0"}, "backend tinker")
    assert (options.thinking, options.window, options.expire) == (True, 8, 0.0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"window": 0}, "invalid value 0 for option window of backend tinker: must be at least 1"),
        ({"timeout": -1.0}, "option timeout of backend tinker"),
        ({"patience": float("inf")}, "option patience of backend tinker"),
        ({"expire": 0.01}, "must be 0 or from 0.042"),
        ({"base_url": "https://me:secret@host/x"}, "leave it out"),
        ({"base_url": "https://host/x?key=secret"}, "leave it out"),
        ({"base_url": "https://host/x#secret"}, "or a fragment; leave it out"),
        ({"train_attention": False, "train_mlp": False}, "one must be true"),
    ],
)
def test_invalid_values_are_usage_errors(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        TinkerOptions(**values)
    assert "secret" not in str(caught.value)


def test_options_that_change_no_row_are_not_part_of_the_identity() -> None:
    given = {item.name: "1" for item in fields(TinkerOptions)}
    assert set(row_options(given)) == {"tokenizer", "thinking", "train_attention", "train_mlp", "train_output"}


def test_there_is_no_option_for_the_key() -> None:
    assert not [item.name for item in fields(TinkerOptions) if "key" in item.name]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Qwen/Qwen3-30B-A3B", "Qwen/Qwen3-30B-A3B"),
        ("moonshotai/Kimi-K2/long", "moonshotai/Kimi-K2"),
        ("Qwen/Qwen3-8B:peft:131072", "Qwen/Qwen3-8B"),
    ],
)
def test_a_variant_has_its_models_tokenizer(model: str, name: str) -> None:
    assert hub_name(model) == name


def test_a_missing_tokenizer_is_an_error_that_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"choose a directory or hub name with -B tokenizer=PATH$"):
        load_tokenizer("any/model", str(tmp_path / "nothing"))
