from pathlib import Path
from typing import Any

import pytest

from pdistill.core.probes.questions import probe_rows
from pdistill.core.probes.welcome import label_of, welcome
from tests.core.probes.planted import planted, task_with

TASK = task_with("Name the colour.\nRed:red\nBlue:blue")
ROWS = [row for row in probe_rows(TASK) if row["probe"] == "welcome"]
FOLLOWING = [row["labels"][row["number"] % len(row["labels"])] for row in ROWS]


def found(folder: Path, base: list[str], student: list[str]) -> dict[str, Any]:
    return welcome(planted(folder, TASK, {"probes-welcome-base": base, "probes-welcome-student": student}))


def test_a_student_that_follows_as_the_base_does_raises_no_alarm(tmp_path: Path) -> None:
    figures = found(tmp_path, FOLLOWING, [f" {label.upper()}." for label in FOLLOWING])
    assert (figures["alarm"], figures["agreement"]["value"], figures["student"]["value"]) == (False, 1, 1)


def test_a_student_that_only_knows_its_own_labels_raises_it(tmp_path: Path) -> None:
    figures = found(tmp_path, FOLLOWING, ["red"] * len(ROWS))
    assert (figures["alarm"], figures["agreement"]["value"], figures["student"]["value"]) == (True, 0, 0)


def test_where_the_base_follows_hardly_any_there_is_nothing_to_judge_by(tmp_path: Path) -> None:
    base = [*FOLLOWING[: len(ROWS) // 2 - 1], *["some text"] * (len(ROWS) - len(ROWS) // 2 + 1)]
    figures = found(tmp_path, base, ["red"] * len(ROWS))
    assert (figures["alarm"], figures["able"], figures["agreement"]["n"]) == (False, False, len(ROWS) // 2 - 1)


@pytest.mark.parametrize(("response", "label"), [("b", "b"), (" B.\n", "b"), ("b or c", None), ("", None)])
def test_only_labels_count_as_following(response: str, label: str | None) -> None:
    assert label_of(response, {"labels": ["a", "b"]}) == label
