"""The training schedule, that is its steps, learning rates and batches: a pure function of examples and options."""

import math
import random
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields

from pdistill.core.contract.interfaces import TrainingDefaults
from pdistill.core.contract.jsontext import Row

MIN_BATCH_SIZE = 8
MOST_EPOCHS = 20
"""Epochs up to which epochs are added: more of them teach a handful of examples by heart, and nothing else."""
MAX_CHECKPOINTS = 10


@dataclass(frozen=True, slots=True)
class Schedule:
    """The schedule of a training run.

    Args:
        rows: the number of examples.
        batch_size: examples per step; the last batch of an epoch may be smaller.
        epochs: passes over the examples.
        learning_rate: the initial learning rate.
        seed: of the order of the examples.
    """

    rows: int
    batch_size: int
    epochs: int
    learning_rate: float
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps per pass over the examples."""
        return math.ceil(self.rows / self.batch_size)

    @property
    def steps(self) -> int:
        """The total number of steps."""
        return self.steps_per_epoch * self.epochs

    @property
    def checkpoint_every(self) -> int:
        """Steps between two checkpoints: at most 10 checkpoints in all, at least 5 steps apart."""
        return max(5, math.ceil(self.steps / MAX_CHECKPOINTS))

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: it decays linearly and would reach 0 after the last step."""
        return self.learning_rate * (1 - step / self.steps)

    def batches(self, start: int) -> Iterator[list[int]]:
        """Yield the rows of each batch, beginning with step `start`; every epoch has its own order."""
        for epoch in range(start // self.steps_per_epoch, self.epochs):
            order = array("q", range(self.rows))
            random.Random(f"{self.seed} {epoch}").shuffle(order)  # noqa: S311 - not for secrets
            first = start - epoch * self.steps_per_epoch if epoch == start // self.steps_per_epoch else 0
            for batch in range(first, self.steps_per_epoch):
                yield order[batch * self.batch_size : (batch + 1) * self.batch_size].tolist()

    @classmethod
    def from_row(cls, row: Row) -> "Schedule":
        """Return the schedule in train.json."""
        return cls(**{item.name: row[item.name] for item in fields(cls)})

    def as_row(self) -> dict[str, object]:
        """Return the schedule as stored in train.json."""
        return {**asdict(self), "steps": self.steps, "checkpoint_every": self.checkpoint_every}


def plan(
    rows: int,
    defaults: TrainingDefaults,
    *,
    batch_size: int | None,
    epochs: int | None,
    learning_rate: float | None,
    seed: int,
) -> tuple[Schedule, str]:
    """Return the schedule for `rows` examples, and a line for the user where it departs from the defaults, else "".

    Where the defaults give fewer steps than the model's minimum, batches are made smaller (to no fewer than 8 examples),
    then epochs are added (up to 20, unless the user set the batch size). What the user set is never changed.
    """
    batch = batch_size or defaults.batch_size
    passes = epochs or defaults.epochs
    rate = learning_rate or defaults.learning_rate

    def schedule() -> Schedule:
        return Schedule(rows, batch, passes, rate, seed)

    if schedule().steps >= defaults.min_steps:
        return schedule(), ""
    if batch_size is not None and epochs is not None:
        return schedule(), (
            f"training takes {schedule().steps} steps, fewer than the minimum of {defaults.min_steps} for this model: "
            "batch size and epochs are as given"
        )
    if batch_size is None:
        per_epoch = math.ceil(defaults.min_steps / passes)
        batch = min(batch, max(MIN_BATCH_SIZE, rows // per_epoch))
    if epochs is None:
        enough = math.ceil(defaults.min_steps / schedule().steps_per_epoch)
        passes = max(passes, enough if batch_size is not None else min(enough, MOST_EPOCHS))
    short = (
        ""
        if schedule().steps >= defaults.min_steps
        else f", fewer than the minimum of {defaults.min_steps} for this model; use more --epochs or more queries"
    )
    return schedule(), (
        f"there are few training examples ({rows:,}): training takes {schedule().steps} steps in batches of {batch} over "
        f"{passes} epochs{short}"
    )
