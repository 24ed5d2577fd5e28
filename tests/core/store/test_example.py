from pathlib import Path
from typing import Any

import pytest

from pdistill.core.errors import RunError
from pdistill.core.store.example import Example
from pdistill.core.store.rows import RowIndex, read_records, write_rows

TAUGHT = Example(number=0, id="a", split="train", group="a", target="red", rejected=None, confidence=0.75)
REJECTED = Example(number=1, id="b", split="train", group="a", target=None, rejected="not one of the labels")
HELD_OUT = Example(number=2, id="c", split="eval", group="c", target="", rejected=None)
USELESS = Example(number=3, id="d", split="eval", group="d", target=None, rejected="empty")
ALL = [TAUGHT, REJECTED, HELD_OUT, USELESS]


def store(path: Path, rows: list[dict[str, Any]]) -> Path:
    write_rows(path, rows, lambda part: None)
    return path


def test_examples_come_back_from_their_rows(tmp_path: Path) -> None:
    path = store(tmp_path / "examples.jsonl", [each.as_row() for each in ALL])
    assert list(read_records(Example, path)) == ALL
    with RowIndex(Example, path, lambda example: example.trained_on) as index:
        assert [index[at] for at in range(len(index))] == [TAUGHT]


def test_one_sample_has_no_confidence_in_its_row() -> None:
    assert list(TAUGHT.as_row()) == ["number", "id", "split", "group", "target", "rejected", "confidence"]
    assert list(HELD_OUT.as_row()) == ["number", "id", "split", "group", "target", "rejected"]
    assert Example.from_row(HELD_OUT.as_row()).confidence is None


def test_an_empty_target_is_a_target() -> None:
    assert [each.trained_on for each in ALL] == [True, False, False, False]
    assert [each.evaluable for each in ALL] == [False, False, True, False]


@pytest.mark.parametrize(
    "damaged", [{"number": 1}, {**TAUGHT.as_row(), "more": 1}, {}], ids=["too few keys", "too many", "none"]
)
def test_a_damaged_row_names_its_line(damaged: dict[str, Any], tmp_path: Path) -> None:
    path = store(tmp_path / "examples.jsonl", [TAUGHT.as_row(), REJECTED.as_row(), damaged])
    with pytest.raises(
        RunError, match=r"examples\.jsonl, line 3: not a row( \(\w+ is missing\))?; the file was edited or damaged"
    ):
        list(read_records(Example, path))
    with pytest.raises(RunError, match=r"examples\.jsonl, line 3: not a row"):
        RowIndex(Example, path, lambda example: example.trained_on)
