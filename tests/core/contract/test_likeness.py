from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdistill.core.contract.likeness import WAYS, Likeness, likeness
from pdistill.core.contract.queries import Query
from pdistill.core.contract.task import FileTask
from pdistill.core.errors import UsageError
from pdistill.core.setup.config import Config


@pytest.mark.parametrize(
    ("name", "one", "other", "value"),
    [
        ("exact", "Hall 1", "hall 1", 0),
        ("normalised", "Hall 1.", "  hall\t1", 1),
        ("normalised", "ﬁne — “yes”!", "FINE yes", 1),
        ("normalised", "well-known", "well known", 1),
        ("normalised", "-5", "5", 0),
        ("normalised", "3.5", "35", 0),
        ("normalised", "5 %", "5", 0),
        ("normalised", "?", "!", 0),
        ("normalised", "", "", 1),
        ("fields", '{"a": 1, "b": "x"}', '{"b": "x",  "a": 1.0}', 1),
        ("fields", '{"a": 1, "b": "x"}', '{"a": 1, "b": "y", "c": 0}', 1 / 3),
        ("fields", '{"a": true}', '{"a": 1}', 0),
        ("fields", "{}", "{}", 1),
        ("fields", "no object", "no object", 1),
        ("fields", "[1]", '{"a": 1}', 0),
        ("fields", "[" * 100_000, "{}", 0),
        ("characters", "kitten", "sitting", 8 / 13),
        ("characters", "", "", 1),
    ],
)
def test_two_answers_are_compared(name: Likeness, one: str, other: str, value: float) -> None:
    assert likeness(name, one, other) == pytest.approx(value)
    assert likeness(name, other, one) == pytest.approx(value)


@pytest.mark.parametrize("name", WAYS)
@given(one=st.text(), other=st.text())
def test_likeness_is_between_0_and_1_and_1_for_equal_answers(name: Likeness, one: str, other: str) -> None:
    assert 0 <= likeness(name, one, other) <= 1
    assert likeness(name, one, one) == 1


def test_file_task_compares_with_the_chosen_measure() -> None:
    task = FileTask(way="normalised")
    assert task.agreement(Query("x"), "Yes.", "yes") == task.score(Query("x", reference="YES"), "yes") == 1
    assert FileTask().agreement(Query("x"), "Yes.", "yes") == 0


def test_where_answers_are_compared_already_it_is_refused() -> None:
    with pytest.raises(UsageError, match="--agreement fields can't be used with --task langid, which defines its own"):
        Config(task="langid", agreement="fields")
    with pytest.raises(UsageError, match="can't be used with --labels, which are equal or not"):
        Config(prompt=Path("prompt.txt"), labels=("yes", "no"), agreement="normalised")
