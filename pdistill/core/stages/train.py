"""The second stage: the student is trained on the examples, without the prompt."""

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice

from pdistill.core.contract.interfaces import RemoteStudent, StateURI, StepMetrics, Student, Trainer
from pdistill.core.contract.prices import Tokens
from pdistill.core.errors import BrokenOffError
from pdistill.core.money.repeated import note_repeated
from pdistill.core.stages.adapter import export_student
from pdistill.core.stages.training import Training
from pdistill.core.store.rowfile import RowWriter
from pdistill.core.store.rows import append_row, read_log
from pdistill.core.store.rundir import RunDirectory

IN_FLIGHT = 2
TRIES = 3
"""Batches that are under way at once; how often a training that breaks off goes on without a new checkpoint."""


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    step: int
    state: StateURI


def train_student(training: Training) -> None:
    """Guarantee that adapter/ and metrics.jsonl are there; goes on from the last checkpoint, also where it breaks off.

    Raises:
        BrokenOffError: it broke off again and again without a new checkpoint.
        RunError: the run could pass the limit of what it may cost before the next checkpoint; stopped at the last one.
    """
    run, student, tries = training.run, training.student, 0
    while not run.adapter.exists():
        last = _last_checkpoint(run, student)
        try:
            _train_from(last, training)
        except BrokenOffError as error:
            now = _last_checkpoint(run, student)
            tries = tries + 1 if now == last else 1
            if tries == TRIES:
                raise
            training.progress.say(f"{error}; going on from step {now.step if now else 0}")


def _train_from(last: "_Checkpoint | None", training: Training) -> None:
    metrics, steps = training.run.metrics(), training.schedule.steps
    with training.student.trainer(training.lora, last.state if last else None) as trainer:
        if last is None and isinstance(training.student, RemoteStudent):
            _note_checkpoint(training.run, 0, trainer.save_state("step-000000").result())
        if not metrics.complete:
            with metrics.open(steps) as writer:
                start = last.step if last else 0
                if isinstance(training.student, RemoteStudent):
                    note_repeated(training.run, start)
                writer.keep(start)
                training.progress.begin("train", steps, writer.count, "steps")
                _Loop(training, trainer, writer).go()
                training.progress.end()
        export_student(training, trainer)


class _Loop:
    """Steps with a batch always in flight; a checkpoint is noted only after the metrics of all steps before it."""

    def __init__(self, training: Training, trainer: Trainer, writer: RowWriter) -> None:
        self._training = training
        self._schedule = training.schedule
        self._budget = training.budget
        self._trainer = trainer
        self._writer = writer
        self._pending: deque[tuple[int, int, Future[StepMetrics], Future[StateURI] | None]] = deque()
        self._reserved = Tokens()

    def go(self) -> None:
        """Train all steps that have no metrics yet; where that breaks off, what is in flight counts as paid for."""
        try:
            self._go()
        finally:
            if self._budget.limit is not None:
                flying = Tokens(trained=sum(count for _, count, _, _ in self._pending))
                self._budget.settle("student", self._reserved, flying)

    def _go(self) -> None:
        start = self._writer.count
        for step, places in enumerate(self._schedule.batches(start), start=start):
            if step % self._schedule.checkpoint_every == 0:
                self._reserve(step)
            batch = self._training.rows.batch(places)
            future = self._trainer.step(batch, self._schedule.rate(step))
            done = step + 1
            due = done % self._schedule.checkpoint_every == 0 or done == self._schedule.steps
            state = self._trainer.save_state(f"step-{done:06d}") if due else None
            self._pending.append((done, batch.tokens, future, state))
            while len(self._pending) >= IN_FLIGHT:
                self._settle()
        while self._pending:
            self._settle()
        self._writer.finish(self._training.run.seal)

    def _reserve(self, step: int) -> None:
        """Stop here, at a checkpoint, where the limit could be passed before the next one: no step is paid for twice."""
        if self._budget.limit is None:
            return
        ahead = islice(self._schedule.batches(step), self._schedule.checkpoint_every)
        most = Tokens(trained=sum(self._training.rows.batch(places).tokens for places in ahead))
        if not self._budget.reserve("student", most):
            while self._pending:
                self._settle()
            raise self._budget.reached("student", most, "the training up to its next checkpoint")
        self._reserved += most

    def _settle(self) -> None:
        done, count, future, state = self._pending[0]
        metrics = future.result()
        self._pending.popleft()
        self._budget.settle("student", Tokens(trained=count), Tokens(trained=count))
        self._reserved -= Tokens(trained=count)
        rate = self._schedule.rate(done - 1)
        row = {"step": done, "loss": metrics.loss, "tokens": metrics.tokens, "sequence_tokens": count}
        self._writer.append([{**row, "learning_rate": rate}])
        self._training.progress.advance(1, ", ".join(filter(None, (f"loss {metrics.loss:.3f}", self._budget.note()))))
        if state is not None:
            uri = state.result()
            _note_checkpoint(self._training.run, done, uri)
            _last_checkpoint(self._training.run, self._training.student)


def _note_checkpoint(run: RunDirectory, step: int, uri: StateURI) -> None:
    append_row(run.path / "checkpoints.jsonl", {"step": step, "state": uri})


def _last_checkpoint(run: RunDirectory, student: Student) -> _Checkpoint | None:
    """Return the checkpoint that training goes on from; what the earlier ones hold is freed."""
    rows = read_log(run.path / "checkpoints.jsonl")
    for row in rows[:-1]:
        student.release(StateURI(row["state"]))
    return _Checkpoint(rows[-1]["step"], StateURI(rows[-1]["state"])) if rows else None
