"""The tasks keep their promises, and agreement is what they say it is."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pdistill_task_free_text import Museum, Orders

from pdistill import Completion, Config, HardTarget, Query, Rejected, RunDirectory, Task, judge, run
from pdistill.testing import check_task, task_checks

ORDER = Query("two croissants for Sunday", reference='{"item": "croissant", "count": 2, "day": "sun"}')


@pytest.mark.parametrize("check", task_checks())
@pytest.mark.parametrize("task", [Orders(), Museum()], ids=["orders", "museum"])
def test_the_tasks_keep_their_promises(task: Task, check: str) -> None:
    """Each check is a test of its own, so that a failure says which."""
    check_task(task, check)


def test_orders_are_compared_field_by_field() -> None:
    """Two of three fields are right, in whatever order and spacing they come."""
    said = Orders().target(ORDER, Completion('{"day":"sun",  "count": 3, "item": "croissant"}', "stop"))
    assert isinstance(said, HardTarget)
    assert Orders().score(ORDER, said.text) == pytest.approx(2 / 3)


@pytest.mark.parametrize("text", ["two croissants", '{"item": "croissant"}', "[1, 2, 3]"])
def test_what_is_not_the_object_is_rejected(text: str) -> None:
    """Nothing is guessed out of a sentence."""
    assert isinstance(Orders().target(ORDER, Completion(text, "stop")), Rejected)


def test_answers_of_the_museum_are_compared_loosely() -> None:
    """Case, punctuation and articles make no difference; words do."""
    question = Query("Where are the clocks?", reference="hall 1")
    assert [Museum().score(question, text) for text in ("Hall 1.", "the hall 1", "hall 2")] == [1, 1, 0]


def test_a_whole_run_with_a_teacher_of_our_own(run_directory: Path, fake_backend: Callable[..., object]) -> None:
    """A teacher that knows every answer is right about all of them; the student learns some of its fields."""
    fake_backend(teacher={query.text: query.reference for query in Orders().queries()}, name="bakery")
    report = run(Config(task="orders", backend="bakery", run_dir=run_directory))
    assert report["arms"]["teacher"]["accuracy"]["value"] == 1
    assert report["arms"]["student"]["agreement"]["value"] > report["arms"]["base"]["agreement"]["value"]
    assert report["confusions"] is None


def test_a_judge_compares_what_words_do_not(run_directory: Path, fake_backend: Callable[..., object]) -> None:
    """The student's answers that are worded differently from the guide's go to a judge, which considers them equal."""
    fake_backend(teacher={query.text: query.reference for query in Museum().queries()}, name="guide")
    fake_backend(teacher=lambda prompt, case: "SAME", name="lenient")
    run(Config(task="museum", backend="guide", run_dir=run_directory, force=True))
    found = judge(RunDirectory(run_directory), "lenient:scripted")
    student = found["arms"]["student"]
    assert student["as_good"]["n"] == student["identical"] + student["same"] + student["rejected"]
    assert student["same"]
