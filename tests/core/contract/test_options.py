from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from pdistill.core.contract.options import build, parse_pairs
from pdistill.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Options:
    chunk: int = 5
    rate: float = 0.5
    fast: bool = False
    mode: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    folder: Path | None = None


def test_texts_are_coerced_to_the_fields_types() -> None:
    values = {"chunk": "7", "rate": "1e-3", "fast": "true", "mode": "b", "names": "x, y", "folder": "runs/x"}
    assert build(Options, values, "backend x") == Options(7, 1e-3, True, "b", ("x", "y"), Path("runs/x"))


def test_values_of_a_toml_file_are_taken_as_they_are() -> None:
    assert build(Options, {"chunk": 7, "names": ["x"]}, "backend x") == Options(chunk=7, names=("x",))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chnk": "1"}, "unknown option of backend x: 'chnk', did you mean 'chunk'"),
        ({"chunk": "many"}, "invalid value 'many' for option chunk of backend x"),
        ({"mode": "c"}, "invalid value 'c' for option mode of backend x: input should be 'a' or 'b'"),
    ],
)
def test_a_wrong_option_is_named(values: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(Options, values, "backend x")


def test_pairs() -> None:
    assert parse_pairs(["a=1", "b-c=x=y", "a=2"], "-B") == {"a": "2", "b_c": "x=y"}
    with pytest.raises(UsageError, match="-B 'chunk' is not of the form KEY=VALUE"):
        parse_pairs(["chunk"], "-B")
