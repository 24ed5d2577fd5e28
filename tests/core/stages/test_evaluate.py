"""How the five arms get their answers: asked, or copied where they are known."""

from pathlib import Path
from typing import Any

import pytest

from pdistill.backends.fake import FakeBackend, FakeOptions
from pdistill.core.contract.interfaces import Student, Teacher
from pdistill.core.contract.prices import FREE
from pdistill.core.contract.prompts import prompt_hash
from pdistill.core.errors import RunError, TaskError
from pdistill.core.money.budget import Budget
from pdistill.core.progress import Silent
from pdistill.core.setup.opened_run import reopen
from pdistill.core.stages.evaluate import Arms
from pdistill.core.stages.preflight import base_made_by
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rows import read_records
from pdistill.core.store.rundir import ARMS, PROMPTED, RunDirectory
from tests.run_builder import Outcome, build_run, outcomes

ROWS = outcomes((f"query {at}" for at in range(30)), reference="animal")
HELD_OUT = [row.query for row in ROWS if row.split == "eval"]


class Models:
    """The models of the fake backend, and how often each was opened."""

    def __init__(self, run: RunDirectory, options: FakeOptions | None = None) -> None:
        self.opened: list[str] = []
        self._run = run
        self._backend = FakeBackend(options)

    def teacher(self) -> Teacher:
        self.opened.append("teacher")
        return self._backend.teacher("rule")

    def student(self) -> Student:
        self.opened.append("student")
        return self._backend.student("rule", self._run.path)


def trained(path: Path, rows: list[Outcome] = ROWS, **options: Any) -> RunDirectory:
    return build_run(path, rows, until="train", **options)


def evaluate(run: RunDirectory, *, same_model: bool = False, options: FakeOptions | None = None) -> Models:
    models, budget = Models(run, options), Budget({"teacher": FREE, "student": FREE}, {}, None)
    arms = Arms(reopen(run), same_model, base_made_by("fake:rule", {}), budget, Silent())
    arms.answer(models.teacher, models.student)
    return models


def answers(run: RunDirectory, arm: str) -> list[AnswerRow]:
    return list(read_records(AnswerRow, run.check(run.predictions(arm).path)))


def test_every_arm_answers_every_held_out_query_with_its_own_prompt(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", temperature=1.0)
    evaluate(run)
    assert run.evaluated
    task = reopen(run).task
    for arm in ARMS:
        rows = answers(run, arm)
        prompt_of = task.teacher_prompt if arm in PROMPTED else task.student_prompt
        assert [row.id for row in rows] == [query.id for query in HELD_OUT]
        assert [row.prompt for row in rows] == [prompt_hash(prompt_of(query)) for query in HELD_OUT]
        assert not any(row.reused for row in rows)
    assert [row.response for row in answers(run, "base")] == [query.text for query in HELD_OUT]


def test_the_answers_of_a_greedy_teacher_are_copied(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    assert evaluate(run).opened == ["student"]
    assert [(row.id, row.response, row.reused) for row in answers(run, "teacher")] == [
        (query.id, "animal", True) for query in HELD_OUT
    ]
    assert not any(row.reused for row in answers(run, "base_prompted"))


def test_so_are_those_of_the_base_with_the_prompt_where_it_is_the_same_model(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    evaluate(run, same_model=True)
    assert answers(run, "base_prompted") == answers(run, "teacher")


def test_a_teacher_that_is_drawn_is_asked_for_another_sample(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", temperature=1.0)
    assert evaluate(run, same_model=True).opened == ["teacher", "student"]
    assert not any(row.reused for row in answers(run, "teacher"))


def test_only_the_missing_arms_are_run(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    evaluate(run)
    before = {arm: run.predictions(arm).path.read_bytes() for arm in ARMS}
    run.predictions("student").path.unlink()
    evaluate(run, options=FakeOptions(fail_at=len(HELD_OUT) + 1))
    assert {arm: run.predictions(arm).path.read_bytes() for arm in ARMS} == before
    assert evaluate(run).opened == []


def test_without_a_held_out_query_nothing_is_opened(tmp_path: Path) -> None:
    rows = outcomes((f"query {at}" for at in range(9)), lambda query: Outcome(query))
    run = trained(tmp_path / "run", rows)
    models = Models(run)
    arms = Arms(reopen(run), False, base_made_by("fake:rule", {}), Budget({}, {}, None), Silent())
    with pytest.raises(TaskError, match="no query is held out for evaluation"):
        arms.answer(models.teacher, models.student)
    assert models.opened == []


def test_edited_responses_are_not_copied(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    path = run.responses(1).path
    path.write_bytes(path.read_bytes().replace(b"animal", b"fruit", 1))
    with pytest.raises(RunError, match=r"responses\.jsonl' was changed after it was complete"):
        evaluate(run)
