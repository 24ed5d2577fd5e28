"""The training loop, on a trainer that notes what it is asked for and fails where a test says so."""

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import pytest

from pdistill.backends.fake.renderer import FakeRenderer
from pdistill.core.contract.batches import Batch
from pdistill.core.contract.interfaces import Lora, StateURI, StepMetrics, TrainingDefaults, WeightsURI
from pdistill.core.contract.prices import FREE, Prices, Tokens
from pdistill.core.contract.sampling import Request
from pdistill.core.errors import BackendError, BrokenOffError, RunError
from pdistill.core.money.budget import Budget
from pdistill.core.numerics.schedule import Schedule
from pdistill.core.setup.opened_run import reopen
from pdistill.core.stages.examples import TrainingRows, training_rows
from pdistill.core.stages.train import MAX_IN_FLIGHT, MAX_TRIES, train_student
from pdistill.core.stages.training import Training
from pdistill.core.store.rows import read_log
from pdistill.core.store.rundir import RunDirectory
from tests.run_builder import build_run, outcomes
from tests.runs import Said

T = TypeVar("T")
STEPS, EVERY = 12, 5
DEAR = Prices(0.0, 0.0, 1e6, "list")
"""USD 1 per training token."""


class Pending(Future[T], Generic[T]):
    """A future that is done when it is waited for, which is noted."""

    def __init__(self, value: T | BrokenOffError, wait: Callable[[], None]) -> None:
        super().__init__()
        self._value = value
        self._wait = wait

    def result(self, timeout: float | None = None) -> T:
        self._wait()
        if isinstance(self._value, BrokenOffError):
            raise self._value
        return self._value


@dataclass
class Trainer:
    """Notes in `events` what is submitted and what is waited for; the step `fails` breaks off."""

    events: list[str]
    step_number: int
    fails: int | None
    diverges: Mapping[int, float]
    rates: list[float] = field(default_factory=list)

    def _pending(self, name: str, value: T | BrokenOffError) -> Pending[T]:
        self.events.append(f"submit {name}")
        return Pending(value, lambda: self.events.append(f"wait {name}"))

    def step(self, batch: Batch, learning_rate: float) -> Future[StepMetrics]:
        self.step_number += 1
        number = self.step_number
        self.rates.append(learning_rate)
        metrics = StepMetrics(self.diverges.get(number, 1 / number), len(batch.rows))
        broken = BrokenOffError(f"step {number} failed")
        return self._pending(f"step {number}", broken if number == self.fails else metrics)

    def save_state(self, name: str) -> Future[StateURI]:
        return self._pending(f"state {self.step_number}", StateURI(name))

    def save_weights(self, name: str) -> Future[WeightsURI]:
        return self._pending("weights", WeightsURI(name))

    def export(self, weights: WeightsURI, directory: Path) -> None:
        (directory / "weights").write_text(f"{weights} after {self.step_number}")


class Student:
    """Opens trainers; the n-th of them breaks off at the n-th of `fails`."""

    id = "student"
    capabilities = frozenset(("train-hard",))
    defaults = TrainingDefaults()

    def __init__(self, *fails: int | None, diverges: Mapping[int, float] | None = None) -> None:
        self.fails = list(fails)
        self.diverges = diverges or {}
        self.events: list[str] = []
        self.resumed: list[str | None] = []
        self.released: list[str] = []
        self.trainers: list[Trainer] = []

    def renderer(self) -> FakeRenderer:
        return FakeRenderer()

    def sampler(self, weights: WeightsURI | None) -> "object":
        raise NotImplementedError

    @contextmanager
    def trainer(self, lora: Lora, resume: StateURI | None) -> Iterator[Trainer]:
        self.resumed.append(resume)
        done = int(resume.removeprefix("step-")) if resume else 0
        self.trainers.append(Trainer(self.events, done, self.fails.pop(0) if self.fails else None, self.diverges))
        yield self.trainers[-1]

    def release(self, uri: StateURI | WeightsURI) -> None:
        self.released.append(uri)


class ServiceStudent(Student):
    """A student on a service: its untrained state is saved, and its export is checked."""

    def check_available(self, lora: Lora | None) -> None:
        """Guarantee nothing."""

    def check_export(self, weights: WeightsURI, folder: Path, examples: list[tuple[Request, list[int]]]) -> str:
        return f"{len(examples)} checked"

    def local_copy(self) -> None:
        return None


@dataclass
class Bench:
    """A run with examples to train on."""

    run: RunDirectory
    rows: TrainingRows
    schedule: Schedule

    def train(self, student: Student, budget: Budget | None = None) -> Said:
        said = Said()
        budget = budget or Budget({"student": FREE}, {}, None)
        train_student(Training(self.run, student, self.rows, self.schedule, Lora(), budget, said))  # type: ignore[arg-type]
        return said

    @property
    def steps(self) -> list[int]:
        """The steps that have metrics."""
        return [row["step"] for row in self.run.metrics().rows()]

    @property
    def checkpoints(self) -> list[int]:
        return [row["step"] for row in read_log(self.run.path / "checkpoints.jsonl")]

    def tokens(self, first: int, last: int) -> int:
        """Return the tokens of the steps from `first` to `last`, counted from 1."""
        batches = list(self.schedule.batches(0))[first - 1 : last]
        return sum(self.rows.batch(places).tokens for places in batches)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    run = build_run(tmp_path / "run", outcomes(f"query {at}" for at in range(30)), until="generate")
    with training_rows(run, reopen(run).task, FakeRenderer()) as rows:
        schedule = Schedule(rows=len(rows), batch_size=8, epochs=4, learning_rate=1e-3, seed=0)
        assert (schedule.steps, schedule.checkpoint_every) == (STEPS, EVERY)
        yield Bench(run, rows, schedule)


@pytest.mark.parametrize(("loss", "said"), [(math.nan, "not a number"), (math.inf, "infinite")])
def test_a_loss_that_is_not_finite_stops_the_training(bench: Bench, loss: float, said: str) -> None:
    message = (
        f"the loss of training step 7 is {said}; start a new run with a lower --learning-rate than 0.001, and reuse"
    )
    for _ in range(2):
        with pytest.raises(BackendError, match=message):
            bench.train(Student(diverges={7: loss}))
        stored = (bench.run.path / "metrics.jsonl.part").read_text()
        assert (stored.count("\n"), "null" in stored, bench.checkpoints) == (6, False, [5])


def test_a_batch_is_always_in_flight_while_the_oldest_is_waited_for(bench: Bench) -> None:
    student = Student()
    bench.train(student)
    flying, most = 0, 0
    for event in student.events:
        if event.startswith("wait step"):
            number = int(event.removeprefix("wait step "))
            assert flying == (MAX_IN_FLIGHT if number < STEPS else 1)
        flying += event.startswith("submit step") - event.startswith("wait step")
        most = max(most, flying)
    assert most == MAX_IN_FLIGHT
    waited = [event for event in student.events if event.startswith("wait step")]
    assert waited == [f"wait step {number}" for number in range(1, STEPS + 1)]


def test_every_step_has_its_metrics_and_its_rate(bench: Bench) -> None:
    student = Student()
    bench.train(student)
    rows = list(bench.run.metrics().rows())
    assert bench.run.metrics().complete
    assert bench.steps == list(range(1, STEPS + 1))
    assert [row["loss"] for row in rows] == [1 / number for number in range(1, STEPS + 1)]
    assert [row["learning_rate"] for row in rows] == student.trainers[0].rates
    assert student.trainers[0].rates == [bench.schedule.rate(step) for step in range(STEPS)]
    assert sum(row["sequence_tokens"] for row in rows) == bench.tokens(1, STEPS)
    assert (bench.run.adapter / "weights").read_text() == f"final after {STEPS}"


def test_a_checkpoint_is_noted_after_the_metrics_of_all_steps_before_it(bench: Bench) -> None:
    student = Student()
    bench.train(student)
    assert bench.checkpoints == [5, 10, 12]
    assert student.released == ["step-000005", "step-000005", "step-000010", "final"]
    for step in bench.checkpoints:
        at = student.events.index(f"wait state {step}")
        assert f"wait step {step}" in student.events[:at]
        assert student.events.index(f"submit state {step}") == student.events.index(f"submit step {step}") + 1


def test_training_that_broke_off_resumes_from_the_last_checkpoint(bench: Bench) -> None:
    student = Student(8, 9)
    said = bench.train(student)
    assert student.resumed == [None, "step-000005", "step-000005"]
    assert said.lines == ["step 8 failed; resuming from step 5", "step 9 failed; resuming from step 5"]
    assert bench.steps == list(range(1, STEPS + 1))
    assert bench.checkpoints == [5, 10, 12]
    assert (bench.run.adapter / "weights").read_text() == f"final after {STEPS}"


def test_training_gives_up_when_it_breaks_off_without_a_new_checkpoint(bench: Bench) -> None:
    student = Student(*[3] * MAX_TRIES)
    with pytest.raises(BrokenOffError, match="step 3 failed"):
        bench.train(student)
    assert student.resumed == [None] * MAX_TRIES
    assert not bench.run.adapter.exists()


def test_a_new_checkpoint_counts_as_progress(bench: Bench) -> None:
    student = Student(3, 3, 8, 8, 11, 11)
    bench.train(student)
    assert student.resumed == [None, None, None, "step-000005", "step-000005", "step-000010", "step-000010"]
    assert bench.steps == list(range(1, STEPS + 1))


def test_a_trained_student_is_not_trained_again(bench: Bench) -> None:
    bench.run.adapter.mkdir()
    student = Student()
    bench.train(student)
    assert (student.resumed, student.events) == ([], [])


def test_a_run_whose_steps_are_all_done_is_only_exported(bench: Bench) -> None:
    bench.train(Student())
    (bench.run.adapter / "weights").unlink()
    bench.run.adapter.rmdir()
    student = Student()
    bench.train(student)
    assert student.resumed == ["step-000012"]
    assert student.events == ["submit weights", "wait weights"]
    assert (bench.run.adapter / "weights").exists()


def test_a_service_saves_the_untrained_state_and_is_paid_for_what_is_repeated(bench: Bench) -> None:
    student = ServiceStudent(4)
    said = bench.train(student)
    assert student.events[:2] == ["submit state 0", "wait state 0"]
    assert student.resumed == [None, "step-000000"]
    assert bench.checkpoints == [0, 5, 10, 12]
    (row,) = read_log(bench.run.path / "repeated.jsonl")
    assert row == {"after": 0, "steps": 3, "sequence_tokens": bench.tokens(1, 3)}
    assert said.lines[-1] == "6 checked"


def test_the_limit_stops_at_a_checkpoint_before_the_steps_up_to_the_next(bench: Bench) -> None:
    limit = float(bench.tokens(1, 10) - 1)
    budget = Budget({"student": DEAR}, {}, limit)
    student = Student()
    with pytest.raises(RunError, match=r"stopped by --max-cost .* the training up to its next checkpoint could cost"):
        bench.train(student, budget)
    assert bench.steps == [1, 2, 3, 4, 5]
    assert bench.checkpoints == [5]
    assert budget.spent == bench.tokens(1, 5)
    more = Budget({"student": DEAR}, {"student": Tokens(trained=bench.tokens(1, 5))}, float(bench.tokens(1, STEPS)))
    bench.train(student, more)
    assert student.resumed == [None, "step-000005"]
    assert more.spent == bench.tokens(1, STEPS)


def test_what_is_in_flight_when_training_breaks_off_counts_as_paid_for(bench: Bench) -> None:
    budget = Budget({"student": DEAR}, {}, 1e9)
    bench.train(Student(8), budget)
    assert budget.spent == bench.tokens(1, STEPS) + bench.tokens(6, 9)
    assert budget.reserve("student", Tokens(trained=int(1e9 - budget.spent)))
