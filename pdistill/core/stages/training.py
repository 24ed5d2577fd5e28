"""The training of one run: what its steps and its export have in common."""

from dataclasses import dataclass

from pdistill.core.contract.interfaces import Lora, Student
from pdistill.core.money.budget import Budget
from pdistill.core.numerics.schedule import Schedule
from pdistill.core.progress import Progress
from pdistill.core.stages.examples import TrainingRows
from pdistill.core.store.rundir import RunDirectory


@dataclass(frozen=True, slots=True)
class Training:
    """Which student learns what in which steps, what it is paid from, and who is told."""

    run: RunDirectory
    student: Student
    rows: TrainingRows
    schedule: Schedule
    lora: Lora
    budget: Budget
    progress: Progress
