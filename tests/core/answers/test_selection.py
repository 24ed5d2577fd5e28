from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.answers.selection import Selection, most_common, read_arm, read_target
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion
from pdistill.core.contract.targets import EMPTY, NO_ANSWER, NOT_A_LABEL, UNSURE, HardTarget, Rejected
from pdistill.core.contract.task import FileTask
from pdistill.core.stages.examples import rejections
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rows import read_rows
from tests.runs import fake_config

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


def test_unsure_examples_are_not_trained_on_and_are_counted(tmp_path: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "run", samples=4, temperature=2.0)
    plain = list(read_rows(pipeline.generate(config).examples))
    strict = replace(config, run_dir=tmp_path / "strict", from_run=tmp_path / "run", min_confidence=1.0)
    run = pipeline.generate(strict)
    unsure = [row for row in plain if row["confidence"] < 1 and row["split"] == "train" and row["target"]]
    assert unsure
    expected = Counter(row["rejected"] for row in plain if row["rejected"])
    expected[UNSURE.reason] = len(unsure)
    assert rejections(run) == expected
    for before, row in zip(plain, read_rows(run.examples), strict=True):
        same = row["split"] == "eval" or before["confidence"] == 1 or before["rejected"]
        assert row == (before if same else {**before, "target": None, "rejected": UNSURE.reason})


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


@pytest.mark.parametrize("keep", [False, True])
def test_a_run_with_reasoning(tmp_path: Path, keep: bool) -> None:
    config = fake_config(
        tmp_path, tmp_path / "run", answer_after="so", keep_reasoning=keep, labels=("animal", "other"), force=True
    )
    assert config.prompt is not None
    config.prompt.write_text("Name the kind.\n")
    said = {"answers": "it moves so animal,it lies so other"}
    report: dict[str, Any] = pipeline.run(replace(config, backend_options=said))
    targets = {row["target"] for row in read_rows(tmp_path / "run" / "examples.jsonl")}
    assert targets == ({"it moves so animal", "it lies so other"} if keep else {"animal", "other"})
    pairs = {(row["teacher"], row["student"]) for row in report["confusions"]["rows"]}
    assert {teacher for teacher, _ in pairs} <= {"animal", "other"}
    assert report["arms"]["student"]["agreement"]["value"] > report["arms"]["base"]["agreement"]["value"]
