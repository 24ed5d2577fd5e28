"""The second stage: the student is trained on the examples, without the prompt."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from pdistill.core.adapter import export_student
from pdistill.core.batches import Batch, HardRow, hard_batch, hard_row
from pdistill.core.budget import Budget
from pdistill.core.errors import BrokenOffError, TaskError
from pdistill.core.interfaces import Lora, RemoteStudent, Renderer, StateURI, StepMetrics, Student, Trainer
from pdistill.core.prices import Tokens
from pdistill.core.progress import Progress
from pdistill.core.queries import Query, query_from_row
from pdistill.core.repeated import note_repeated
from pdistill.core.rowfile import RowWriter
from pdistill.core.rows import Row, RowIndex, append_row, read_log
from pdistill.core.rundir import RunDirectory
from pdistill.core.schedule import Schedule
from pdistill.core.task import Task

IN_FLIGHT = 2
TRIES = 3
"""Batches that are under way at once; how often a training that breaks off goes on without a new checkpoint."""


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """The training examples of a run as rows of tokens, rendered when they are asked for."""

    task: Task
    renderer: Renderer
    queries: RowIndex
    examples: RowIndex

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> HardRow:
        example = self.examples[place]
        query = query_from_row(self.queries[example["number"]])
        return render(self.renderer, self.task, query, example["target"])

    def batch(self, places: Sequence[int]) -> Batch:
        """Return the batch of these examples."""
        return hard_batch([self[place] for place in places])


@contextmanager
def training_rows(run: RunDirectory, task: Task, renderer: Renderer) -> Iterator[TrainingRows]:
    """Return the training examples, opened.

    Raises:
        TaskError: there is no example to train on.
    """

    def trained(row: Row) -> bool:
        return row["split"] == "train" and row["target"] is not None

    with RowIndex(run.check(run.queries)) as queries, RowIndex(run.check(run.examples), trained) as examples:
        if not len(examples):
            reasons = f"look at the reasons in {run.examples}, and at the prompt or the labels"
            raise TaskError(f"there is no example to train on: {reasons}")
        yield TrainingRows(task, renderer, queries, examples)


def render(renderer: Renderer, task: Task, query: Query, target: str) -> HardRow:
    """Return the row that a query and its target are trained as: frame and target joined as ids, loss on the target."""
    prompt = task.student_prompt(query)
    return hard_row(renderer.prompt_ids(prompt), renderer.target_ids(prompt, target))


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    step: int
    state: StateURI


def train_student(
    run: RunDirectory,
    student: Student,
    rows: TrainingRows,
    schedule: Schedule,
    lora: Lora,
    budget: Budget,
    progress: Progress,
) -> None:
    """Guarantee that adapter/ and metrics.jsonl are there; goes on from the last checkpoint, also where it breaks off.

    Raises:
        BrokenOffError: it broke off again and again without a new checkpoint.
        RunError: the run could pass the limit of what it may cost before the next checkpoint; stopped at the last one.
    """
    tries = 0
    while not run.adapter.exists():
        last = _last_checkpoint(run, student)
        try:
            _train_from(last, run, student, rows, schedule, lora, budget, progress)
        except BrokenOffError as error:
            now = _last_checkpoint(run, student)
            tries = tries + 1 if now == last else 1
            if tries == TRIES:
                raise
            progress.say(f"{error}; going on from step {now.step if now else 0}")


def _train_from(
    last: "_Checkpoint | None",
    run: RunDirectory,
    student: Student,
    rows: TrainingRows,
    schedule: Schedule,
    lora: Lora,
    budget: Budget,
    progress: Progress,
) -> None:
    metrics = run.metrics()
    with student.trainer(lora, last.state if last else None) as trainer:
        if last is None and isinstance(student, RemoteStudent):
            _note_checkpoint(run, 0, trainer.save_state("step-000000").result())
        if not metrics.complete:
            with metrics.open(schedule.steps) as writer:
                start = last.step if last else 0
                if isinstance(student, RemoteStudent):
                    note_repeated(run, start)
                writer.keep(start)
                progress.begin("train", schedule.steps, writer.count, "steps")
                _Loop(run, trainer, student, schedule, budget, writer, progress).go(rows)
                progress.end()
        export_student(run, trainer, student, rows, budget, progress)


class _Loop:
    """Steps with a batch always in flight; a checkpoint is noted only after the metrics of all steps before it."""

    def __init__(
        self,
        run: RunDirectory,
        trainer: Trainer,
        student: Student,
        schedule: Schedule,
        budget: Budget,
        writer: RowWriter,
        progress: Progress,
    ) -> None:
        self._run = run
        self._trainer = trainer
        self._student = student
        self._schedule = schedule
        self._budget = budget
        self._writer = writer
        self._progress = progress
        self._pending: deque[tuple[int, int, Future[StepMetrics], Future[StateURI] | None]] = deque()
        self._reserved = Tokens()

    def go(self, rows: TrainingRows) -> None:
        """Train all steps that have no metrics yet; where that breaks off, what is in flight counts as paid for."""
        try:
            self._go(rows)
        finally:
            if self._budget.limit is not None:
                flying = Tokens(trained=sum(count for _, count, _, _ in self._pending))
                self._budget.settle("student", self._reserved, flying)

    def _go(self, rows: TrainingRows) -> None:
        start = self._writer.count
        for step, places in enumerate(self._schedule.batches(start), start=start):
            if step % self._schedule.checkpoint_every == 0:
                self._reserve(rows, step)
            batch = rows.batch(places)
            future = self._trainer.step(batch, self._schedule.rate(step))
            done = step + 1
            due = done % self._schedule.checkpoint_every == 0 or done == self._schedule.steps
            state = self._trainer.save_state(f"step-{done:06d}") if due else None
            self._pending.append((done, batch.tokens, future, state))
            while len(self._pending) >= IN_FLIGHT:
                self._settle()
        while self._pending:
            self._settle()
        self._writer.finish(self._run.seal)

    def _reserve(self, rows: TrainingRows, step: int) -> None:
        """Stop here, at a checkpoint, where the limit could be passed before the next one: no step is paid for twice."""
        if self._budget.limit is None:
            return
        ahead = islice(self._schedule.batches(step), self._schedule.checkpoint_every)
        most = Tokens(trained=sum(rows.batch(places).tokens for places in ahead))
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
        self._progress.advance(1, ", ".join(filter(None, (f"loss {metrics.loss:.3f}", self._budget.note()))))
        if state is not None:
            uri = state.result()
            _note_checkpoint(self._run, done, uri)
            _last_checkpoint(self._run, self._student)


def _note_checkpoint(run: RunDirectory, step: int, uri: StateURI) -> None:
    append_row(run.path / "checkpoints.jsonl", {"step": step, "state": uri})


def _last_checkpoint(run: RunDirectory, student: Student) -> _Checkpoint | None:
    """Return the checkpoint that training goes on from; what the earlier ones hold is freed."""
    rows = read_log(run.path / "checkpoints.jsonl")
    for row in rows[:-1]:
        student.release(StateURI(row["state"]))
    return _Checkpoint(rows[-1]["step"], StateURI(rows[-1]["state"])) if rows else None
