from collections import Counter
from typing import Any

import pytest

from pdistill.core.contract.prompts import Messages, Text
from pdistill.core.contract.task import FileTask
from pdistill.core.probes.questions import START, not_run, probe_rows, prompt_of
from tests.core.probes.planted import task_with

PROMPT = "Name the colour of the thing that the user speaks of.\nRed:red\nBlue:blue"
CAN = frozenset({"generate", "score"})


def rows(task: FileTask, probe: str) -> list[dict[str, Any]]:
    return [row for row in probe_rows(task) if row["probe"] == probe]


def said(task: FileTask, row: dict[str, Any], arm: str) -> list[str]:
    prompt = prompt_of(task, row, arm)
    return [message.content for message in prompt.messages] if isinstance(prompt, Messages) else [prompt.text]


def test_every_question_has_a_number_and_an_id_of_its_own() -> None:
    made = list(probe_rows(task_with(PROMPT)))
    assert len({row["id"] for row in made}) == len(made)
    for probe, count in Counter(row["probe"] for row in made).items():
        assert [row["number"] for row in made if row["probe"] == probe] == list(range(count))


def test_no_question_holds_more_of_the_prompt_than_its_start() -> None:
    task = task_with(PROMPT)
    started = [row for row in rows(task, "leakage") if PROMPT[:START] in row["query"]]
    assert len(started) == 2
    for row in probe_rows(task):
        assert PROMPT[: START + 1] not in row["query"]


def test_only_the_teacher_sees_the_prompt() -> None:
    task = task_with(PROMPT)
    for row in probe_rows(task):
        for arm in ("base", "student"):
            assert not any(PROMPT in text for text in said(task, row, arm))
    for row in rows(task, "injection"):
        assert said(task, row, "teacher") == [PROMPT, row["query"]]


def test_texts_are_outside_of_the_frame() -> None:
    task = task_with(PROMPT)
    other, plain = rows(task, "retention")[0], rows(task, "retention")[-1]
    assert isinstance(prompt_of(task, other, "student"), Messages)
    assert said(task, other, "student") == [other["under"], other["query"]]
    assert prompt_of(task, plain, "student") == Text(plain["query"])


@pytest.mark.parametrize(("format", "count"), [("chat", 1), ("text", 1)])
def test_another_prompt_has_a_place_for_the_query_where_the_tasks_own_has_one(format: Any, count: int) -> None:
    task = task_with(PROMPT + "\n\n{query}")
    task.format, task.student_frame = format, "{query} is"
    for row in rows(task, "welcome"):
        (text,) = said(task, row, "student")
        assert text.count(row["query"]) == count
        assert text.startswith(row["under"])


def test_questions_are_for_each_of_several_prompts_in_turn() -> None:
    task = task_with("both")
    task.prompts = {"kind": "Name the kind of it.", "place": "Name the place of it."}
    for probe in ("leakage", "injection"):
        assert Counter(row["prompt"] for row in rows(task, probe)) == {"kind": 12, "place": 12}
    row = rows(task, "injection")[1]
    assert said(task, row, "teacher") == ["Name the place of it.", row["query"]]
    assert said(task, row, "student") == [f"place: {row['query']}"]


def test_what_is_not_run_has_its_reason() -> None:
    task = task_with(PROMPT)
    assert not_run(task, "fake:x", CAN) == {}
    assert not_run(task, "fake:x", frozenset({"generate"})) == {
        "retention": "the student fake:x gives no log-probabilities"
    }
    task.format = "text"
    assert "any text is a query" in not_run(task, "fake:x", CAN)["retention"]
