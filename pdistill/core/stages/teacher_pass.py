"""The teacher pass, in which the teacher answers the queries with the prompt: some of them first, then all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pdistill.core.answers.collect import Answers, Question
from pdistill.core.answers.reuse import Reusable
from pdistill.core.contract.interfaces import Sampler
from pdistill.core.contract.sampling import Key, Request, request_seed
from pdistill.core.money.budget import Meter
from pdistill.core.progress import Progress
from pdistill.core.setup.opened_run import OpenedRun
from pdistill.core.store.rowfile import AnswerWriter


@dataclass(frozen=True, slots=True)
class TeacherPass:
    """The opened teacher, with the file that its answers are stored in."""

    run: OpenedRun
    sampler: Sampler
    meter: Meter
    rows: AnswerWriter
    reuse: Reusable
    progress: Progress

    def ask(self, numbers: Sequence[int] | None = None) -> None:
        """Guarantee that the queries with these numbers, in ascending order, are answered; None is all."""
        answers = Answers(
            lambda: self._questions(numbers),
            self.run.settings.teacher_sampling,
            self.rows,
            self.meter,
            self.progress,
            self.reuse.find,
        )
        answers.collect(self.sampler)

    def _questions(self, numbers: Sequence[int] | None) -> Iterator[Question]:
        settings = self.run.settings
        for query in self.run.queries() if numbers is None else self.run.picked(numbers):
            prompt = self.run.task.teacher_prompt(query)
            for sample in range(settings.samples):
                seed = request_seed(settings.seed, query.id, sample)
                yield Question(query, Request(Key(query.number, sample), prompt, seed))
