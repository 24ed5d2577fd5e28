"""The third stage: the five arms answer the held-out queries."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from pdistill.core.answers.collect import Answers, Question
from pdistill.core.contract.interfaces import ADAPTER, Sampler, Student, Teacher
from pdistill.core.contract.sampling import Key, Request, Sampling, request_seed
from pdistill.core.errors import TaskError
from pdistill.core.money.budget import Budget, Meter
from pdistill.core.probes.asking import Probing
from pdistill.core.progress import Progress
from pdistill.core.setup.opened_run import OpenedRun
from pdistill.core.stages.preflight import MadeBy, preflight_answers
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rows import read_records
from pdistill.core.store.rundir import BASE_ARMS, PROMPTED, STUDENT_ARMS

TOO_FEW = "no query is held out for evaluation: there are too few, or all are near-duplicates; use more queries or another --seed"


@dataclass(slots=True)
class Arms:
    """The five arms of one run: their models and their queries.

    Args:
        made_by: what the base's answers depend on; where it is the same for the preflight's answers, they are reused.
        same_model: whether the base is the teacher's own model, run in the same way: then the base with the prompt gives
            the teacher's greedy answers, which are reused.
        budget: the budget that the answers are charged to.
    """

    run: OpenedRun
    same_model: bool
    made_by: MadeBy
    budget: Budget
    progress: Progress
    held_out: HeldOut = field(init=False)

    def answer(self, teacher: Callable[[], Teacher], student: Callable[[], Student]) -> None:
        """Guarantee that every arm has answered every held-out query, and base and student the probes.

        Opens only the models that are still needed.

        Raises:
            TaskError: no query is held out.
            RunError: the run could exceed its spending limit; the answers so far are saved.
        """
        self.held_out = HeldOut(self.run.directory)
        if not len(self.held_out):
            raise TaskError(TOO_FEW)
        if self.run.settings.repeatable:
            for arm in self._missing(("teacher", "base_prompted") if self.same_model else ("teacher",)):
                self._copy(arm)
        elif self._missing(("teacher",)):
            self._ask_teacher(teacher())
        if not self.run.directory.evaluated:
            self._ask_student(student())

    def _ask_teacher(self, teacher: Teacher) -> None:
        settings = self.run.settings
        meter = Meter(self.budget, "teacher", teacher.renderer())
        with teacher.sampler() as sampler:
            self._ask("teacher", sampler, meter, settings.sampling, sample=settings.samples)

    def _ask_student(self, student: Student) -> None:
        run = self.run
        meter = Meter(self.budget, "student", student.renderer())
        probing = Probing(run.task, run.directory, run.settings, self.progress)
        for weights, arms in ((None, BASE_ARMS), (ADAPTER, STUDENT_ARMS)):
            missing, probe_arm = self._missing(arms), arms[0]
            if missing or run.directory.unprobed(probe_arm):
                with student.sampler(weights) as sampler:
                    for arm in missing:
                        self._ask(arm, sampler, meter, run.settings.greedy_sampling)
                    probing.ask(probe_arm, sampler, meter)

    def _missing(self, arms: tuple[str, ...]) -> list[str]:
        return [arm for arm in arms if not self.run.directory.predictions(arm).complete]

    def _ask(self, arm: str, sampler: Sampler, meter: Meter, sampling: Sampling, sample: int = 0) -> None:
        task, directory, settings = self.run.task, self.run.directory, self.run.settings
        prompt_of = task.teacher_prompt if arm in PROMPTED else task.student_prompt

        def questions() -> Iterator[Question]:
            for query, _ in self.held_out:
                seed = request_seed(settings.seed, query.id, sample)
                yield Question(query, Request(Key(query.number), prompt_of(query), seed))

        with directory.predictions(arm).open(settings.count) as rows:
            self.progress.begin(arm.replace("_", " "), len(self.held_out), rows.count, "answers")
            reuse = preflight_answers(directory, arm, self.made_by)
            Answers(questions, sampling, rows, meter, self.progress, reuse).collect(sampler)
            rows.finish(directory.seal)
            self.progress.end()

    def _copy(self, arm: str) -> None:
        """Guarantee that the teacher's stored answers are also this arm's."""
        directory = self.run.directory
        responses, numbers = directory.check(directory.responses(1).path), iter(self.held_out.numbers)
        with directory.predictions(arm).open(self.run.settings.count) as rows:
            rows.keep(0)
            number = next(numbers, None)
            for answer in read_records(AnswerRow, responses):
                if answer.number == number:
                    rows.add([replace(answer, reused=True)])
                    number = next(numbers, None)
            rows.finish(directory.seal)
