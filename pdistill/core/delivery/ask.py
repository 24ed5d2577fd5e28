"""Opens an arm of a run for queries: the trained student without the prompt, or another one."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pdistill.core.contract.interfaces import ADAPTER, RemoteStudent, Sampler, Streamer, Student
from pdistill.core.contract.prompts import Prompt
from pdistill.core.contract.queries import Query, untagged
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling, request_seed
from pdistill.core.contract.task import Task
from pdistill.core.errors import RunError
from pdistill.core.setup.opened_run import reopen
from pdistill.core.store.rundir import PROMPTED, STUDENT_ARMS, RunDirectory
from pdistill.core.store.settings import GenerateSettings, TrainSettings


@dataclass(frozen=True, slots=True)
class TrainedStudent:
    """The student of a run, not yet loaded: its weights are ADAPTER, and its decoding is greedy."""

    student: Student
    task: Task
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class OpenArm:
    """An arm of a run, loaded: it answers as in the evaluation."""

    asked: Callable[[Query], Prompt]
    sampler: Sampler
    sampling: Sampling
    seed: int

    def answer(self, queries: Iterable[Query]) -> Iterator[Completion]:
        """Yield the answers to a few queries, in their order, each as soon as it and all earlier ones are available."""
        requests = [self._request(query, number) for number, query in enumerate(queries)]
        ready: dict[int, Completion] = {}
        shown = 0
        for key, answer in self.sampler.generate(requests, self.sampling):
            ready[key.number] = answer
            while shown in ready:
                yield ready.pop(shown)
                shown += 1

    def stream(self, query: Query) -> Iterator[str]:
        """Yield one answer piece by piece as it is generated, or as a whole if the sampler does not stream."""
        request = self._request(query, 0)
        if isinstance(self.sampler, Streamer):
            yield from self.sampler.stream(request, self.sampling)
            return
        for _, answer in self.sampler.generate([request], self.sampling):
            yield answer.text

    def _request(self, query: Query, number: int) -> Request:
        return Request(Key(number), self.asked(replace(query, number=number)), request_seed(self.seed, query.text, 0))


def trained_student(run: RunDirectory) -> TrainedStudent:
    """Return the student of a run, without loading its weights.

    Raises:
        RunError: there is no trained student.
        BackendError: its model is missing.
    """
    opened, trained = reopen(run), run.settings(TrainSettings)
    if not run.adapter.exists():
        raise RunError(f"the student in '{run.path}' is not trained yet; continue with pdistill train {run.path}")
    student = opened.models(trained.student, trained.resolved).student.student(run.path)
    return TrainedStudent(student, opened.task, opened.settings.greedy_sampling)


@contextmanager
def open_arm(run: RunDirectory, arm: str = "student") -> Iterator[OpenArm]:
    """Return an arm of a run, loaded.

    Raises:
        RunError: there is no trained student, and the arm is not the teacher.
        BackendError: its model can't be loaded.
    """
    if arm == "teacher":
        opened = reopen(run)
        settings = opened.settings
        with opened.models(resolved=settings.resolved).teacher.teacher().sampler() as sampler:
            yield OpenArm(_typed(opened.task, prompted=True), sampler, settings.sampling, settings.seed)
        return
    seed = run.settings(GenerateSettings).seed
    trained = trained_student(run)
    home = trained.student.local_copy() if isinstance(trained.student, RemoteStudent) else None
    task = trained.task
    with (home or trained.student).sampler(ADAPTER if arm in STUDENT_ARMS else None) as sampler:
        yield OpenArm(_typed(task, prompted=arm in PROMPTED), sampler, trained.sampling, seed)


def _typed(task: Task, *, prompted: bool) -> Callable[[Query], Prompt]:
    """Return the function that prompts an arm with a query that a user typed, after its prompt's name if there are several."""
    asked = task.teacher_prompt if prompted else task.student_prompt
    return lambda query: asked(untagged(query, task.prompts))
