"""Opens the trained student of a run, to be asked without the prompt."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pdistill.core.errors import RunError
from pdistill.core.evaluate import ADAPTER
from pdistill.core.generate import sampling_from
from pdistill.core.interfaces import RemoteStudent, Sampler, Student
from pdistill.core.models import Models, sides
from pdistill.core.queries import Query
from pdistill.core.rundir import RunDirectory
from pdistill.core.sampling import Completion, Key, Request, Sampling
from pdistill.core.task import Task
from pdistill.core.work import Work, work_of


@dataclass(frozen=True, slots=True)
class TrainedStudent:
    """The student of a run, not yet opened: its weights are ADAPTER, and it answers greedily."""

    student: Student
    work: Work
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class OpenStudent:
    """The student of a run, opened; it answers greedily, in the frame that it was trained in."""

    task: Task
    sampler: Sampler
    sampling: Sampling

    def answer(self, texts: Iterable[str]) -> Iterator[Completion]:
        """Yield the answers to a handful of queries, in their order."""
        requests = [
            Request(Key(number), self.task.student_prompt(Query(text, number=number)))
            for number, text in enumerate(texts)
        ]
        answers = dict(self.sampler.generate(requests, self.sampling))
        yield from (answers[request.key] for request in requests)


def trained_student(run: RunDirectory) -> TrainedStudent:
    """Return the student of a run, without loading its weights.

    Raises:
        RunError: there is no trained student.
        BackendError: its model is missing.
    """
    generated, trained = run.stage("generate"), run.stage("train")
    if not run.adapter.exists():
        raise RunError(f"the student in '{run.path}' is not trained yet; go on with pdistill train {run.path}")
    settings = generated["settings"]
    config, work = work_of(run, settings["format"])
    config = replace(config, teacher=settings["teacher"], student=trained["settings"]["student"])
    student = Models(sides(config, work.task), trained["resolved"]).student(run.path)
    return TrainedStudent(student, work, replace(sampling_from(settings), temperature=0.0, top_p=1.0))


@contextmanager
def open_student(run: RunDirectory) -> Iterator[OpenStudent]:
    """Return the student of a run, opened.

    Raises:
        RunError: there is no trained student.
        BackendError: its model can't be opened.
    """
    trained = trained_student(run)
    home = trained.student.at_home() if isinstance(trained.student, RemoteStudent) else None
    with (home or trained.student).sampler(ADAPTER) as sampler:
        yield OpenStudent(trained.work.task, sampler, trained.sampling)
