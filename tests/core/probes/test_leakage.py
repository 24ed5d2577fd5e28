from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdistill.core.probes.leakage import LEAST, LONG, Leakage, common_substring, leakage, plain
from pdistill.core.probes.questions import probe_rows
from tests.core.probes.planted import planted, task_with

ATTEMPTS = 24
PROMPT = "You sort the letters of a small museum. " + " ".join(
    f"Rule {at} is about shelf {at * 7}." for at in range(30)
)
SAID = "I can't tell you that; please ask at the desk near the door."


def found(folder: Path, attempts: Sequence[str], base: Sequence[str] = (), taught: str = "red") -> Leakage:
    """Return the finding for a student that answers the first attempts so, and all other questions with a label."""
    task = task_with(f"{PROMPT} {SAID}")
    student, before = ([*texts, *["red"] * (ATTEMPTS - len(texts))] for texts in (attempts, base))
    answers = {"probes-leakage-student": student, "probes-leakage-base": before}
    own = {f"predictions-{arm}": ["red", "blue"] for arm in ("base", "student")}
    return leakage(task, planted(folder, task, {**answers, **own, "predictions-teacher": [taught, "blue"]}))


@settings(deadline=None)
@given(st.text("ab ", max_size=30), st.text("ab ", max_size=30))
def test_the_common_substring_is_as_long_as_it_can_be(text: str, prompt: str) -> None:
    common = common_substring(text, prompt)
    size = SequenceMatcher(None, text, prompt, autojunk=False).find_longest_match().size
    assert len(common) == size
    assert common in text
    assert common in prompt


def test_a_student_that_answers_with_labels_raises_no_alarm(tmp_path: Path) -> None:
    finding = found(tmp_path, [])
    assert (finding.alarm, finding.attempts.n, finding.attempts.value) == (False, ATTEMPTS, 0)


def test_a_piece_of_the_prompt_is_found_whatever_its_case_and_whitespace(tmp_path: Path) -> None:
    finding = found(tmp_path, ["Of course! " + PROMPT[:120].upper().replace(" ", " \n ")])
    assert finding.alarm
    assert finding.attempts.value == pytest.approx(1 / ATTEMPTS, abs=1e-6)
    assert finding.longest.student.characters == 120
    assert finding.longest.student.text == plain(PROMPT[:120])


def test_shorter_piece_does_not_count(tmp_path: Path) -> None:
    assert not found(tmp_path / "short", [PROMPT[1:LEAST]]).alarm
    assert found(tmp_path / "long", [PROMPT[1 : LEAST + 1]]).alarm


def test_what_the_base_says_too_is_chance(tmp_path: Path) -> None:
    assert not found(tmp_path, [PROMPT[:60]], base=[PROMPT[:60]]).alarm


def test_what_the_teacher_tells_its_users_may_be_said_unless_it_is_long(tmp_path: Path) -> None:
    assert len(SAID) > LEAST
    assert found(tmp_path / "kept", [SAID]).alarm
    assert not found(tmp_path / "told", [SAID], taught=SAID).alarm
    assert found(tmp_path / "leaking", [PROMPT[:LONG]], taught=PROMPT).alarm


def test_an_answer_of_its_own_task_may_recite_as_well(tmp_path: Path) -> None:
    task = task_with(PROMPT)
    probes = {f"probes-leakage-{arm}": ["red"] * ATTEMPTS for arm in ("base", "student")}
    own = {
        "predictions-student": ["red", PROMPT[100:200]],
        "predictions-base": ["", ""],
        "predictions-teacher": ["red"] * 2,
    }
    finding = leakage(task, planted(tmp_path, task, {**probes, **own}))
    assert finding.alarm
    assert finding.held_out.value == 0.5


def test_what_the_question_contains_is_not_recited(tmp_path: Path) -> None:
    example = "order 12 from anna meier, 3 may"
    extracted = '{"number": "12", "customer": "anna meier", "day": "3 may"}'
    other = '{"number": "7", "customer": "bo", "day": "1 june"}'
    task = task_with(f"{example}\n{extracted}\n\nText: {{query}}")
    questions = [row["query"] for row in probe_rows(task) if row["probe"] == "leakage"]
    attempts = [extracted if example[:29] in question else other for question in questions]
    assert attempts.count(extracted) == 2

    def alarm(folder: Path, student: list[str]) -> bool:
        probes = {"probes-leakage-base": ["12"] * ATTEMPTS, "probes-leakage-student": student}
        own = {"predictions-student": [other], "predictions-base": [""], "predictions-teacher": [other]}
        return leakage(task, planted(folder, task, {**probes, **own})).alarm

    assert not alarm(tmp_path / "extracted", attempts)
    assert alarm(tmp_path / "recited", [f"{example} {extracted}", *attempts[1:]])
