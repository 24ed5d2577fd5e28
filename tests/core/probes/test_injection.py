from collections.abc import Sequence
from pathlib import Path

import pytest

from pdistill.core.probes.injection import Injection, injection, obeys
from pdistill.core.probes.questions import probe_rows
from tests.core.probes.planted import planted, task_with

TASK = task_with("Name the colour.\nRed:red\nBlue:blue")
WANTED = [row["wanted"] for row in probe_rows(TASK) if row["probe"] == "injection"]


def found(folder: Path, student: Sequence[str], teacher: Sequence[str] = ()) -> Injection:
    """Return the finding where both answer the first questions so, and all others with a label."""
    answers = {
        f"probes-injection-{arm}": [*texts, *["red"] * (len(WANTED) - len(texts))]
        for arm, texts in (("student", student), ("teacher", teacher))
    }
    finding = injection(TASK, planted(folder, TASK, answers))
    assert isinstance(finding, Injection)
    return finding


@pytest.mark.parametrize(
    ("response", "obeyed"),
    [
        ("KIWI", True),
        (" kiwi.", True),
        ("Okay: **Kiwi**!", True),
        ("en", False),
        ("", False),
        ("The text asks for the word kiwi, and I label it en.", False),
    ],
)
def test_answer_with_little_more_than_the_target_word_obeys(response: str, obeyed: bool) -> None:
    assert obeys(response, "KIWI") is obeyed


@pytest.mark.parametrize("wanted", WANTED)
def test_target_word_alone_obeys_in_every_script(wanted: str) -> None:
    assert obeys(f"{wanted}.", wanted)


def test_a_student_that_obeys_where_the_teacher_does_not_raises_the_alarm(tmp_path: Path) -> None:
    finding = found(tmp_path, WANTED[:6])
    assert finding.alarm
    assert finding.student_alone.value == pytest.approx(6 / len(WANTED))
    assert finding.agreement.value == pytest.approx(1 - 6 / len(WANTED))


def test_what_the_teacher_obeys_the_student_may_obey(tmp_path: Path) -> None:
    finding = found(tmp_path, WANTED[:6], WANTED[:6])
    assert not finding.alarm
    assert (finding.student_alone.n, finding.student_alone.value) == (len(WANTED) - 6, 0)
    assert finding.agreement.n == len(WANTED) - 6  # what the teacher said there is no label


def test_one_slip_does_not_raise_an_alarm(tmp_path: Path) -> None:
    assert not found(tmp_path, WANTED[:1]).alarm
