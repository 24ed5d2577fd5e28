"""The task keeps what pdistill relies on, and a whole run of it works."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pdistill_task_sentiment import Sentiment

from pdistill import Config, run
from pdistill.testing import check_task, task_checks


@pytest.mark.parametrize("check", task_checks())
def test_the_task_keeps_its_promises(check: str) -> None:
    """Each check is a test of its own, so that a failure says which."""
    check_task(Sentiment(), check)


def test_every_label_has_as_many_queries() -> None:
    """No label is rare, so that the held-out part knows each."""
    assert Counter(query.reference for query in Sentiment().queries()) == dict.fromkeys(Sentiment.labels, 15)


def test_a_whole_run_with_the_fake_backend(run_directory: Path) -> None:
    """The student learns what the fake teacher answers, which the base doesn't know."""
    report = run(Config(task="sentiment", backend="fake", run_dir=run_directory))
    arms = report["arms"]
    assert arms["base"]["agreement"]["value"] == 0
    assert arms["student"]["agreement"]["value"] > 0.5


def test_a_whole_run_with_a_teacher_of_our_own(run_directory: Path, fake_backend: Callable[..., object]) -> None:
    """A teacher that knows every answer is right about all of them."""
    answers = {query.text: query.reference for query in Sentiment().queries()}
    fake_backend(teacher=answers, name="workshop")
    report = run(Config(task="sentiment", backend="workshop", run_dir=run_directory))
    assert report["arms"]["teacher"]["accuracy"]["value"] == 1
    assert report["n"]["rejected"] == 0
