"""The trained student and the other arms of a run, put to use."""

from pathlib import Path

import pytest

from pdistill.core.contract.queries import Query
from pdistill.core.delivery.ask import open_arm, trained_student
from pdistill.core.errors import RunError
from pdistill.core.store.rundir import RunDirectory
from tests.run_builder import build_run, outcomes

ROWS = outcomes(f"query {at}" for at in range(20))
TEXTS = ["one", "two", "three"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return build_run(tmp_path_factory.mktemp("ask") / "run", ROWS, until="train", backend_options={"shuffle": "true"})


def test_the_base_repeats_a_query_and_the_teacher_gives_a_label(run: RunDirectory) -> None:
    with open_arm(run, "base") as arm:
        assert [answer.text for answer in arm.answer(map(Query, TEXTS))] == TEXTS
    with open_arm(run, "teacher") as arm:
        labels = [answer.text for answer in arm.answer(map(Query, TEXTS))]
    assert set(labels) <= {"animal", "fruit", "other"}
    with open_arm(run, "base_prompted") as arm:
        assert [answer.text for answer in arm.answer(map(Query, TEXTS))] == labels


def test_one_answer_comes_piece_by_piece_or_whole(run: RunDirectory) -> None:
    with open_arm(run) as arm:
        (whole,) = arm.answer([Query("one two three")])
        assert "".join(arm.stream(Query("one two three"))) == whole.text == "one two three"


def test_the_student_is_that_of_its_training(run: RunDirectory) -> None:
    trained = trained_student(run)
    assert trained.student.id == "rule"
    assert trained.sampling.temperature == 0
    assert trained.task.labels == ("animal", "fruit", "other")


def test_a_student_that_is_not_trained_names_the_next_command(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", ROWS, until="generate")
    with pytest.raises(RunError, match="has not reached that stage; continue with pdistill train"):
        trained_student(run)
    run = build_run(tmp_path / "other", ROWS, until="train")
    (run.adapter / "adapter_weights.json").unlink()
    run.adapter.rmdir()
    with pytest.raises(RunError, match="is not trained yet; continue with pdistill train"), open_arm(run):
        pass
    with open_arm(run, "teacher") as arm:
        assert [answer.finish for answer in arm.answer([Query("one")])] == ["stop"]
