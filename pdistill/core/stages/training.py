"""The training of one run: what its steps and its export share."""

from dataclasses import dataclass

from pdistill.core.contract.interfaces import Lora, Student
from pdistill.core.money.budget import Budget
from pdistill.core.numerics.schedule import Schedule
from pdistill.core.progress import Progress
from pdistill.core.stages.examples import TrainingRows
from pdistill.core.store.rundir import RunDirectory


@dataclass(frozen=True, slots=True)
class Training:
    """The student, its examples and schedule, the budget, and the progress display."""

    run: RunDirectory
    student: Student
    rows: TrainingRows
    schedule: Schedule
    lora: Lora
    budget: Budget
    progress: Progress
