"""The third stage: the five arms answer the held-out queries."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pdistill.core.answers.answer import Answers, Question
from pdistill.core.contract.interfaces import ADAPTER, Sampler, Student, Teacher
from pdistill.core.contract.sampling import Key, Request, Sampling, request_seed
from pdistill.core.errors import TaskError
from pdistill.core.money.budget import Budget, Meter
from pdistill.core.probes.asking import Probing
from pdistill.core.progress import Progress
from pdistill.core.setup.work import Work
from pdistill.core.stages.preflight import answered
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import BASE_ARMS, PROMPTED, STUDENT_ARMS, RunDirectory
from pdistill.core.store.settings import sampling_from, says_the_same_again

TOO_FEW = (
    "no query is held out for evaluation: there are too few, or all are alike; take more queries or another --seed"
)


@dataclass(slots=True)
class Arms:
    """The five arms of one run: who answers, and what is asked.

    Args:
        settings: what generate.json resolved.
        made_by: what the base's answers depend on; where the pre-flight's were made so, they are not asked again.
        alike: whether the base is the teacher's own model, run in the same way: then the base under the prompt gives
            the teacher's greedy answers, and is not asked again.
        budget: what the answers are paid from.
    """

    work: Work
    run: RunDirectory
    settings: Mapping[str, Any]
    alike: bool
    made_by: Mapping[str, Any]
    budget: Budget
    progress: Progress
    held_out: HeldOut = field(init=False)

    def answer(self, teacher: Callable[[], Teacher], student: Callable[[], Student]) -> None:
        """Guarantee that every arm has answered every held-out query, and base and student the probes.

        Opens only the models that are still needed.

        Raises:
            TaskError: no query is held out.
            RunError: the run could pass the limit of what it may cost; the answers that came are kept.
        """
        self.held_out = HeldOut(self.run)
        if not len(self.held_out):
            raise TaskError(TOO_FEW)
        if says_the_same_again(self.settings):
            for arm in self._missing(("teacher", "base_prompted") if self.alike else ("teacher",)):
                self._copy(arm)
        else:
            for arm in self._missing(("teacher",)):
                asked = teacher()
                meter = Meter(self.budget, "teacher", asked.renderer())
                with asked.sampler() as sampler:
                    self._ask(arm, sampler, meter, sampling_from(self.settings), sample=self.settings["samples"])
        if not self.run.evaluated:
            self._ask_student(student())

    def _ask_student(self, student: Student) -> None:
        sampling = replace(sampling_from(self.settings), temperature=0.0, top_p=1.0)
        meter = Meter(self.budget, "student", student.renderer())
        probing = Probing(self.work.task, self.run, self.settings, self.progress)
        for weights, arms in ((None, BASE_ARMS), (ADAPTER, STUDENT_ARMS)):
            missing, probed = self._missing(arms), arms[0]
            if missing or self.run.unprobed(probed):
                with student.sampler(weights) as sampler:
                    for arm in missing:
                        self._ask(arm, sampler, meter, sampling)
                    probing.ask(probed, sampler, meter)

    def _missing(self, arms: tuple[str, ...]) -> list[str]:
        return [arm for arm in arms if not self.run.predictions(arm).complete]

    def _ask(self, arm: str, sampler: Sampler, meter: Meter, sampling: Sampling, sample: int = 0) -> None:
        task = self.work.task
        prompt_of = task.teacher_prompt if arm in PROMPTED else task.student_prompt

        def questions() -> Iterator[Question]:
            for query, _ in self.held_out:
                seed = request_seed(self.settings["seed"], query.id, sample)
                yield Question(query, Request(Key(query.number), prompt_of(query), seed))

        with self.run.predictions(arm).open(self.settings["count"]) as rows:
            self.progress.begin(arm.replace("_", " "), len(self.held_out), rows.count, "answers")
            place = lambda question: question.query.number  # noqa: E731
            reuse = answered(self.run, arm, self.made_by)
            Answers(questions, sampling, rows, place, reuse, meter, self.progress).collect(sampler)
            rows.finish(self.run.seal)
            self.progress.end()

    def _copy(self, arm: str) -> None:
        """Take the teacher's stored answers as this arm's."""
        responses, wanted = self.run.check(self.run.responses(1).path), iter(self.held_out.numbers)
        with self.run.predictions(arm).open(self.settings["count"]) as rows:
            rows.keep(0)
            number = next(wanted, None)
            for row in read_rows(responses):
                if row["number"] == number:
                    rows.append([{**row, "reused": True}])
                    number = next(wanted, None)
            rows.finish(self.run.seal)
