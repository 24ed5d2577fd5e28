"""The second stage: the student is trained on the examples, without the prompt."""

import math
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import Self

from pdistill.core.contract.interfaces import RemoteStudent, StateURI, StepMetrics, Student, Trainer
from pdistill.core.contract.jsontext import Row
from pdistill.core.contract.prices import Tokens
from pdistill.core.errors import BackendError, BrokenOffError
from pdistill.core.money.repeated import note_repeated
from pdistill.core.stages.adapter import export_student
from pdistill.core.stages.training import Training
from pdistill.core.store.rowfile import RowWriter
from pdistill.core.store.rows import append_row, read_log
from pdistill.core.store.rundir import RunDirectory

CHECKPOINTS = "checkpoints.jsonl"
SERVICE = "://"
"""In a URI: it names something that a service has, and that it allows or refuses by itself."""
MAX_IN_FLIGHT = 2
"""Batches that are in flight before waiting for the oldest."""
MAX_TRIES = 3
"""Attempts at training without a new checkpoint before giving up."""


def train_student(training: Training) -> None:
    """Guarantee that adapter/ and metrics.jsonl exist; resumes from the last checkpoint, also after training breaks off.

    Raises:
        BrokenOffError: training broke off repeatedly without a new checkpoint.
        BackendError: the loss is not a finite number.
        RunError: the run could exceed its spending limit before the next checkpoint; it stopped at the last one.
    """
    run, student, tries = training.run, training.student, 0
    while not run.adapter.exists():
        last = _last_checkpoint(run, student)
        try:
            _train_from(last, training)
        except BrokenOffError as error:
            now = _last_checkpoint(run, student)
            tries = tries + 1 if now == last else 1
            if tries == MAX_TRIES:
                raise
            training.progress.say(f"{error}; resuming from step {now.step if now else 0}")


def _train_from(last: "Checkpoint | None", training: Training) -> None:
    run, steps, remote = training.run, training.schedule.steps, isinstance(training.student, RemoteStudent)
    metrics, start = run.metrics(), last.step if last else 0
    with training.student.trainer(training.lora, last.state if last else None) as trainer:
        if last is None and remote:
            _note_checkpoint(run, Checkpoint(0, trainer.save_state("step-000000").result()))
        if not metrics.complete:
            with metrics.open(steps) as writer:
                if remote:
                    note_repeated(run, start)
                writer.keep(start)
                training.progress.begin("train", steps, writer.count, "steps")
                _Loop(training, trainer, writer).run()
                training.progress.end()
        export_student(training, trainer)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state that training resumes from, and the number of steps before it."""

    step: int
    state: StateURI

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the checkpoint in a row of checkpoints.jsonl."""
        return cls(row["step"], StateURI(row["state"]))

    def as_row(self) -> dict[str, object]:
        """Return the checkpoint as a row of checkpoints.jsonl."""
        return {"step": self.step, "state": self.state}


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """A batch that the trainer is working on.

    Args:
        step: counted from 1.
        tokens: the number of tokens that the model reads in the step.
        metrics: the future for the metrics of the step.
        state: the future for the saved state, where a checkpoint is due after the step.
    """

    step: int
    tokens: int
    metrics: Future[StepMetrics]
    state: Future[StateURI] | None


class _Loop:
    """The training loop, always with a batch in flight; a checkpoint is recorded after the metrics of all earlier steps."""

    def __init__(self, training: Training, trainer: Trainer, writer: RowWriter) -> None:
        self._training = training
        self._schedule = training.schedule
        self._budget = training.budget
        self._trainer = trainer
        self._writer = writer
        self._in_flight: deque[SubmittedBatch] = deque()
        self._reserved = Tokens()

    def run(self) -> None:
        """Train all steps that have no metrics yet; if that breaks off, what is in flight counts as paid for."""
        try:
            start = self._writer.count
            for step, places in enumerate(self._schedule.batches(start), start=start):
                if step % self._schedule.checkpoint_every == 0:
                    self._reserve_to_next_checkpoint(step)
                self._submit_batch(step, places)
                while len(self._in_flight) >= MAX_IN_FLIGHT:
                    self._finish_oldest()
            self._drain()
            self._writer.finish(self._training.run.seal)
        finally:
            if self._budget.limit is not None:
                flying = Tokens(trained=sum(batch.tokens for batch in self._in_flight))
                self._budget.charge("student", self._reserved, flying)

    def _reserve_to_next_checkpoint(self, step: int) -> None:
        """Stop at this checkpoint if the limit could be exceeded before the next one, so that no step is paid for twice."""
        if self._budget.limit is None:
            return
        ahead = islice(self._schedule.batches(step), self._schedule.checkpoint_every)
        most = Tokens(trained=sum(self._training.rows.batch(places).tokens for places in ahead))
        if not self._budget.reserve("student", most):
            self._drain()
            raise self._budget.limit_error("student", most, "the training up to its next checkpoint")
        self._reserved += most

    def _submit_batch(self, step: int, places: list[int]) -> None:
        batch, count = self._training.rows.batch(places), step + 1
        metrics = self._trainer.step(batch, self._schedule.rate(step))
        due = count % self._schedule.checkpoint_every == 0 or count == self._schedule.steps
        state = self._trainer.save_state(f"step-{count:06d}") if due else None
        self._in_flight.append(SubmittedBatch(count, batch.tokens, metrics, state))

    def _drain(self) -> None:
        while self._in_flight:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        """Store the metrics of the oldest batch, and then its checkpoint; it counts as in flight until it is done."""
        batch = self._in_flight[0]
        metrics = batch.metrics.result()
        self._check_loss(batch.step, metrics.loss)
        self._in_flight.popleft()
        self._budget.charge("student", Tokens(trained=batch.tokens), Tokens(trained=batch.tokens))
        self._reserved -= Tokens(trained=batch.tokens)
        row = {"step": batch.step, "loss": metrics.loss, "tokens": metrics.tokens, "sequence_tokens": batch.tokens}
        self._writer.append([{**row, "learning_rate": self._schedule.rate(batch.step - 1)}])
        note = ", ".join(filter(None, (f"loss {metrics.loss:.3f}", self._budget.note())))
        self._training.progress.advance(1, note)
        if batch.state is not None:
            _note_checkpoint(self._training.run, Checkpoint(batch.step, batch.state.result()))
            _last_checkpoint(self._training.run, self._training.student)

    def _check_loss(self, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            rate, path = self._schedule.learning_rate, self._training.run.path
            raise BackendError(
                f"the loss of training step {step:,} is {'not a number' if math.isnan(loss) else 'infinite'}; start a new run "
                f"with a lower --learning-rate than {rate:g}, and reuse the answers with --from '{path}'"
            )


def _note_checkpoint(run: RunDirectory, checkpoint: Checkpoint) -> None:
    append_row(run.path / CHECKPOINTS, checkpoint.as_row())


def _last_checkpoint(run: RunDirectory, student: Student) -> Checkpoint | None:
    """Return the checkpoint that training resumes from; frees the space of earlier ones."""
    checkpoints = [Checkpoint.from_row(row) for row in read_log(run.path / CHECKPOINTS, {"step": int, "state": str})]
    for checkpoint in checkpoints:
        if SERVICE not in checkpoint.state:
            run.within(checkpoint.state, CHECKPOINTS)
    for checkpoint in checkpoints[:-1]:
        student.release(checkpoint.state)
    return checkpoints[-1] if checkpoints else None
