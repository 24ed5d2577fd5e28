from dataclasses import replace

import pytest

from pdistill.core.answers.selection import Selection, most_common, read_arm, read_target
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion
from pdistill.core.contract.targets import EMPTY, NO_ANSWER, NOT_A_LABEL, UNSURE, HardTarget, Rejected
from pdistill.core.contract.task import FileTask
from pdistill.core.store.answerrow import AnswerRow

QUERY = Query("x", reference="b")
MARK = "Answer:"


def answer(response: str) -> AnswerRow:
    return AnswerRow(0, "0", QUERY.text, "", response, "stop", 1, 1)


def hard(*texts: str) -> list[HardTarget | Rejected]:
    return [HardTarget(text) for text in texts]


@pytest.mark.parametrize(
    ("drawn", "target", "confidence"),
    [
        (hard("a", "b", "b"), "b", 2 / 3),
        (hard("a", "b"), "a", 1 / 2),
        ([*hard("a"), EMPTY], "a", 1 / 2),
        ([*hard("a"), NOT_A_LABEL, EMPTY, EMPTY], EMPTY, 3 / 4),
    ],
)
def test_the_most_common(drawn: list[HardTarget | Rejected], target: str | Rejected, confidence: float) -> None:
    wanted = HardTarget(target) if isinstance(target, str) else target
    assert most_common(FileTask(), drawn) == (wanted, confidence)


def test_reasonings_with_one_answer_are_counted_together() -> None:
    task = FileTask(after=MARK, keep_reasoning=True)
    drawn = hard("one. Answer: a", "two. Answer: b", "three. Answer: b", "one. Answer: a", "four. Answer: b")
    assert most_common(task, drawn) == (HardTarget("two. Answer: b"), 3 / 5)


def test_the_best_is_what_the_task_scores_highest() -> None:
    best = Selection("best")
    drawn = hard("a", "a", "b")
    assert best.pick(FileTask(), QUERY, drawn, "train") == (HardTarget("b"), 1 / 3)
    assert best.pick(FileTask(), QUERY, hard("a", "c", "c"), "train") == (HardTarget("c"), 2 / 3)
    assert best.pick(FileTask(), replace(QUERY, reference=None), drawn, "train") == (HardTarget("a"), 2 / 3)


def test_what_the_student_is_measured_by_is_never_chosen_by_the_reference_or_the_confidence() -> None:
    strict = Selection("best", min_confidence=0.9)
    drawn = hard("a", "a", "b")
    assert strict.pick(FileTask(), QUERY, drawn, "eval") == (HardTarget("a"), 2 / 3)
    assert strict.pick(FileTask(), QUERY, drawn, "train") == (UNSURE, 1 / 3)


@pytest.mark.parametrize(
    ("said", "keep", "target"),
    [
        ("It rains. Answer: a", False, HardTarget("a")),
        ("Answer: b? No. Answer: a ", False, HardTarget("a")),
        (" It rains.\nAnswer: a\n", True, HardTarget("It rains.\nAnswer: a")),
        ("It rains. Answer: c", True, NOT_A_LABEL),
        ("It rains. Answer: ", True, EMPTY),
        ("a", False, NO_ANSWER),
    ],
)
def test_the_answer_of_a_teacher_that_reasons(said: str, keep: bool, target: HardTarget | Rejected) -> None:
    task = FileTask(("a", "b"), after=MARK, keep_reasoning=keep)
    assert read_target(task, QUERY, answer(said)) == target


def test_a_student_may_answer_without_reasoning_where_it_learnt_the_answer_alone() -> None:
    bare = Completion("a", "stop")
    assert read_arm(FileTask(("a", "b"), after=MARK), QUERY, answer("a")) == HardTarget("a")
    assert FileTask(("a", "b"), after=MARK, keep_reasoning=True).arm_target(QUERY, bare) == NO_ANSWER
    assert read_arm(FileTask(("a", "b"), after=MARK), QUERY, answer("So. Answer: b")) == HardTarget("b")


def test_answers_alone_are_compared() -> None:
    task = FileTask(after=MARK, keep_reasoning=True)
    assert task.agreement(QUERY, "one. Answer: b", "two. Answer: b") == 1
    assert task.agreement(QUERY, "one. Answer: a", "one. Answer: b") == 0
    assert task.score(QUERY, "one. Answer: b") == 1
