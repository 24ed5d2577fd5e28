import pytest

from pdistill.core.contract.interfaces import TrainingDefaults
from pdistill.core.numerics.schedule import Schedule, plan

DEFAULTS = TrainingDefaults(learning_rate=2e-3, epochs=4, batch_size=128, min_steps=75)


def planned(rows: int, batch_size: int | None = None, epochs: int | None = None) -> tuple[Schedule, str]:
    return plan(rows, DEFAULTS, batch_size=batch_size, epochs=epochs, learning_rate=None, seed=0)


def test_many_rows_are_trained_by_the_defaults() -> None:
    schedule, line = planned(10_000)
    assert (schedule.batch_size, schedule.epochs, schedule.learning_rate, line) == (128, 4, 2e-3, "")


def test_few_rows_make_smaller_batches_before_more_epochs() -> None:
    schedule, line = planned(2_200)
    assert (schedule.epochs, schedule.steps) == (4, 80)
    assert "training takes 80 steps in batches of 115 over 4 epochs" in line
    assert "fewer" not in line
    schedule, _ = planned(160)
    assert (schedule.batch_size, schedule.epochs, schedule.steps) == (8, 4, 80)
    schedule, _ = planned(40)
    assert (schedule.batch_size, schedule.epochs, schedule.steps) == (8, 15, 75)


@pytest.mark.parametrize("rows", [30, 100, 599, 2_400])
def test_minimum_number_of_steps_is_always_reached(rows: int) -> None:
    assert planned(rows)[0].steps >= 75
    assert planned(rows, batch_size=128)[0].steps >= 75


@pytest.mark.parametrize("rows", [1, 7, 8, 20])
def test_a_handful_of_rows_is_not_trained_on_for_ever(rows: int) -> None:
    schedule, line = planned(rows)
    assert (schedule.batch_size, schedule.epochs) == (8, 20)
    assert "fewer than the minimum of 75 for this model; use more --epochs or more queries" in line
    assert planned(rows, batch_size=8)[0].steps >= 75


def test_what_the_user_gave_is_never_changed() -> None:
    assert planned(160, batch_size=128)[0].batch_size == 128
    schedule, line = planned(80, epochs=2)
    assert (schedule.batch_size, schedule.epochs, schedule.steps) == (8, 2, 20)
    assert "fewer than the minimum of 75" in line
    schedule, line = planned(160, batch_size=128, epochs=4)
    assert schedule.steps == 8
    assert "fewer than the minimum of 75" in line


def test_the_rate_falls_linearly() -> None:
    schedule = Schedule(rows=10, batch_size=5, epochs=5, learning_rate=1.0, seed=0)
    assert [schedule.rate(step) for step in (0, 5, 9)] == [1.0, 0.5, pytest.approx(0.1)]


def test_every_epoch_sees_every_row_once_in_its_own_order() -> None:
    schedule = Schedule(rows=10, batch_size=4, epochs=2, learning_rate=1.0, seed=3)
    batches = list(schedule.batches(0))
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    first, second = sum(batches[:3], []), sum(batches[3:], [])
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


@pytest.mark.parametrize("start", range(7))
def test_a_resume_sees_the_same_batches(start: int) -> None:
    schedule = Schedule(rows=10, batch_size=4, epochs=2, learning_rate=1.0, seed=3)
    assert list(schedule.batches(start)) == list(schedule.batches(0))[start:]


def test_a_schedule_comes_back_from_its_row() -> None:
    schedule = Schedule(rows=10, batch_size=4, epochs=2, learning_rate=1.0, seed=3)
    assert Schedule.from_row(schedule.as_row()) == schedule
