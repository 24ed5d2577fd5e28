from pathlib import Path

import pytest

from pdistill.core.probes.prompt_following import PromptFollowing, label_of, prompt_following
from pdistill.core.probes.questions import probe_rows
from tests.core.probes.planted import planted, task_with

TASK = task_with("Name the colour.\nRed:red\nBlue:blue")
ROWS = [row for row in probe_rows(TASK) if row["probe"] == "welcome"]
FOLLOWING = [row["labels"][row["number"] % len(row["labels"])] for row in ROWS]


def found(folder: Path, base: list[str], student: list[str]) -> PromptFollowing:
    answers = {"probes-welcome-base": base, "probes-welcome-student": student}
    finding = prompt_following(planted(folder, TASK, answers))
    assert isinstance(finding, PromptFollowing)
    return finding


def test_a_student_that_follows_as_the_base_does_raises_no_alarm(tmp_path: Path) -> None:
    finding = found(tmp_path, FOLLOWING, [f" {label.upper()}." for label in FOLLOWING])
    assert (finding.alarm, finding.agreement.value, finding.student.value) == (False, 1, 1)


def test_a_student_that_only_knows_its_own_labels_raises_it(tmp_path: Path) -> None:
    finding = found(tmp_path, FOLLOWING, ["red"] * len(ROWS))
    assert (finding.alarm, finding.agreement.value, finding.student.value) == (True, 0, 0)


def test_where_the_base_follows_hardly_any_there_is_nothing_to_judge_by(tmp_path: Path) -> None:
    base = [*FOLLOWING[: len(ROWS) // 2 - 1], *["some text"] * (len(ROWS) - len(ROWS) // 2 + 1)]
    finding = found(tmp_path, base, ["red"] * len(ROWS))
    assert (finding.alarm, finding.able, finding.agreement.n) == (False, False, len(ROWS) // 2 - 1)


@pytest.mark.parametrize(("response", "label"), [("b", "b"), (" B.\n", "b"), ("b or c", None), ("", None)])
def test_only_labels_count_as_following(response: str, label: str | None) -> None:
    assert label_of(response, ["a", "b"]) == label
