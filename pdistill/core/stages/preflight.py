"""The preflight: a sample is asked before the whole pass is paid for, to see whether there is something to distill.

The first held-out queries, where they are few some training queries too, are put to the base, and to the teacher before all
others. Each answer is stored where, or so that, the stage which needs it takes it: no query is asked twice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile
from pathlib import Path

from pdistill.core.answers.collect import Answers, Question, Reuse
from pdistill.core.contract.interfaces import MachineSettings, Resolved, Sampler, Student
from pdistill.core.contract.prompts import Prompt, prompt_hash
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Key, Request, Sampling, request_seed
from pdistill.core.errors import TaskError
from pdistill.core.money.budget import Budget, Meter
from pdistill.core.numerics.split import Groups, Placed
from pdistill.core.progress import Progress, Silent
from pdistill.core.setup.opened_run import OpenedRun
from pdistill.core.stages.preflight_findings import Sample, preflight_findings
from pdistill.core.stages.teacher_pass import TeacherPass
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rowfile import AnswerFile
from pdistill.core.store.rows import read_records
from pdistill.core.store.rundir import RunDirectory

SAMPLE, LEAST_SAMPLE = 40, 8
"""Held-out queries of a sample; where there are fewer than the second number, training queries make it up to that."""
MIN_SAMPLE = 4
FILE = "preflight.json"


@dataclass(slots=True)
class Preflight:
    """The sample of a run, and what is asked on it.

    Args:
        placed: the queries, each with its place in the split.
        strict: whether to refuse where there is nothing to distill; else it is only said.
        budget: makes the budget that answers are paid from.
    """

    run: OpenedRun
    placed: Groups
    strict: bool
    budget: Callable[[], Budget]
    progress: Progress
    numbers: list[int] = field(init=False)
    """The sample."""

    def __post_init__(self) -> None:
        """Find the sample."""
        least = 0 if self.run.settings.held_out is None else LEAST_SAMPLE  # 0: as runs up to version 0.1 have asked
        self.numbers = [placed.query.number for placed in sample_of(self.placed, least)]

    @property
    def due(self) -> bool:
        """Whether the sample is big enough to say anything, and not yet evaluated."""
        return len(self.numbers) >= MIN_SAMPLE and self.run.directory.read_json(FILE) is None

    def ask_base(self, student: Callable[[], Student]) -> None:
        """Guarantee that the base has answered the sample, without the prompt."""
        rows, run = self.run.directory.preflight("base"), self.run
        if not rows.complete:
            base = student()
            meter = Meter(self.budget(), "student", base.renderer())
            answers = _SampleAnswers(rows, meter, run.settings.greedy_sampling, run.task.student_prompt, draw=0)
            with base.sampler(None) as sampler:
                self._collect(answers, sampler, "preflight: base", self.progress)

    def ask_teacher(self, teacher: TeacherPass) -> None:
        """Guarantee that preflight.json says what the sample shows, and that the user knows.

        Raises:
            TaskError: there is nothing to distill, and that is to be refused.
        """
        run, settings = self.run, self.run.settings
        teacher.ask(whole_chunks(self.numbers, teacher.sampler.chunk))
        second = run.directory.preflight("teacher")
        if settings.temperature > 0 and not second.complete:
            task = run.task
            answers = _SampleAnswers(second, teacher.meter, settings.sampling, task.teacher_prompt, settings.samples)
            self._collect(answers, teacher.sampler, "teacher again", Silent())
        found = asdict(preflight_findings(self._sample(), greedy=settings.temperature == 0))
        answered_by = base_made_by(settings.student, settings.resolved)
        run.directory.write_json(FILE, {"made_by": answered_by.as_row(), **found})
        report_preflight(run.directory, self.strict, self.progress)

    def _collect(self, answers: "_SampleAnswers", sampler: Sampler, name: str, progress: Progress) -> None:
        last = whole_chunks(self.numbers, sampler.chunk)[-1]
        held_out = (placed.query.number for placed in self.placed if placed.split == "eval")
        numbers = sorted({*self.numbers, *takewhile(lambda number: number <= last, held_out)})

        def questions() -> Iterator[Question]:
            for query in self.run.picked(numbers):
                seed = request_seed(self.run.settings.seed, query.id, answers.draw)
                yield Question(query, Request(Key(query.number), answers.prompt_of(query), seed))

        with answers.rows.open(self.run.settings.count) as writer:
            progress.begin(name, len(numbers), writer.count, "answers")
            Answers(questions, answers.sampling, writer, answers.meter, progress).collect(sampler)
            writer.finish(self.run.directory.seal)
            progress.end()

    def _sample(self) -> Sample:
        numbers, directory = set(self.numbers), self.run.directory
        queries = list(self.run.picked(self.numbers))
        samples: dict[int, list[AnswerRow]] = {number: [] for number in self.numbers}
        for row in directory.responses(self.run.settings.samples).answers():
            if row.number in numbers:
                samples[row.number].append(row)
        for rows in samples.values():
            rows.sort(key=lambda row: row.sample)
        second = directory.preflight("teacher")
        again = _by_number(second.path) if second.complete else {}
        return Sample(self.run.task, queries, samples, again, _by_number(directory.preflight("base").path))


@dataclass(frozen=True, slots=True)
class _SampleAnswers:
    """What is asked on the sample besides the pass: to which file, how, and which draw it is."""

    rows: AnswerFile
    meter: Meter
    sampling: Sampling
    prompt_of: Callable[[Query], Prompt]
    draw: int


@dataclass(frozen=True, slots=True)
class MadeBy:
    """What the base's answers depend on, apart from what is asked: the model, and what was resolved for it."""

    student: str
    resolved: MachineSettings | None

    def as_row(self) -> dict[str, object]:
        """Return it as preflight.json holds it."""
        return {"student": self.student, "resolved": self.resolved}


def sample_of(placed: Iterable[Placed], least: int = LEAST_SAMPLE) -> list[Placed]:
    """Return the queries that the preflight asks, in their order.

    Args:
        least: where fewer are held out, training queries make the sample up to this number.
    """
    held_out: list[Placed] = []
    others: list[Placed] = []
    for each in placed:
        if each.split == "eval":
            held_out.append(each)
        elif len(others) < least:
            others.append(each)
        if len(held_out) == SAMPLE:
            break
    few = max(0, least - len(held_out))
    return sorted((*held_out, *others[:few]), key=lambda each: each.query.number)


def whole_chunks(numbers: list[int], chunk: int | None) -> Sequence[int]:
    """Return which queries are asked so that these are answered: only they, or all up to the end of their last chunk."""
    return numbers if chunk is None else range((numbers[-1] // chunk + 1) * chunk)


def report_preflight(run: RunDirectory, strict: bool, progress: Progress) -> None:
    """Refuse the run, or warn, where the preflight found something against it.

    Raises:
        TaskError: it found something, and `strict` is given.
    """
    found = run.read_json(FILE)
    if found is None:
        return
    for warning in found["warnings"]:
        progress.say(f"preflight on {found['n']} queries: {warning}")
    if not found["problems"]:
        return
    problem = "; ".join(found["problems"])
    if strict:
        raise TaskError(
            f"there is nothing to distill: on the {found['n']} queries of the sample, {problem}; "
            f"read {run.path / FILE} and fix the prompt, or continue with --force"
        )
    progress.say(f"preflight: there seems to be nothing to distill: on {found['n']} queries, {problem}")


def base_made_by(student: str, resolved: Resolved) -> MadeBy:
    """Return what the base's answers depend on."""
    return MadeBy(student, resolved.get("student"))


def preflight_answers(run: RunDirectory, arm: str, made_by: MadeBy) -> Reuse:
    """Return what finds an arm's answer in the preflight; none where another model, or another machine, gave it."""
    found, rows = run.read_json(FILE), run.preflight(arm)
    same = found is not None and rows.complete and (arm == "teacher" or found["made_by"] == made_by.as_row())
    answers = _by_number(run.check(rows.path)) if same else {}

    def reuse(question: Question) -> AnswerRow | None:
        row = answers.get(question.query.number)
        same = row is not None and row.prompt == prompt_hash(question.request.prompt)
        return replace(row, reused=True) if row is not None and same else None

    return reuse


def _by_number(path: Path) -> dict[int, AnswerRow]:
    return {row.number: row for row in read_records(AnswerRow, path)}
