"""A look at a sample before the whole pass is paid for, to see whether there is something to distil.

The first held-out queries are asked of the base, and of the teacher before all others. Each answer is stored where, or
so that, the stage which needs it takes it: no query is asked twice.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from typing import Any

from pdistill.core.answers.answer import Answers, Question, Reuse
from pdistill.core.contract.interfaces import Sampler, Student
from pdistill.core.contract.prompts import prompt_hash
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Key, Request, Sampling, request_seed
from pdistill.core.errors import TaskError
from pdistill.core.money.budget import Budget, Meter
from pdistill.core.numerics.split import part_of
from pdistill.core.progress import Progress, Silent
from pdistill.core.setup.work import Work
from pdistill.core.stages.generate import picked
from pdistill.core.stages.verdict import Looked, findings
from pdistill.core.store.rowfile import RowFile
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import RunDirectory

WANTED = 40
LEAST = 4
FILE = "preflight.json"

Wanted = Sequence[int]


@dataclass(slots=True)
class Preflight:
    """The sample of a run, and what is asked on it.

    Args:
        settings: what generate.json resolved.
        groups: the queries, each with its group.
        made_by: what the base's answers depend on: the student's id, and what was resolved for it.
        strict: whether to refuse where there is nothing to distil; else it is only said.
        budget: makes the budget that answers are paid from.
    """

    work: Work
    run: RunDirectory
    settings: Mapping[str, Any]
    groups: Iterable[tuple[Query, str]]
    made_by: Mapping[str, Any]
    strict: bool
    budget: Callable[[], Budget]
    progress: Progress
    numbers: list[int] = field(init=False)
    """The sample: the first held-out queries."""

    def __post_init__(self) -> None:
        """Find the sample."""
        self.numbers = list(islice(self._held_out(), WANTED))

    def _held_out(self) -> Iterator[int]:
        seed = self.settings["seed"]
        return (query.number for query, group in self.groups if part_of(group, seed) == "eval")

    @property
    def due(self) -> bool:
        """Whether the sample is big enough to say anything, and not yet looked at."""
        return len(self.numbers) >= LEAST and self.run.read_json(FILE) is None

    def ask_base(self, student: Callable[[], Student], sampling: Sampling) -> None:
        """Guarantee that the base has answered the sample, without the prompt."""
        rows, task = self.run.preflight("base"), self.work.task
        if not rows.complete:
            base = student()
            meter, greedy = (
                Meter(self.budget(), "student", base.renderer()),
                replace(sampling, temperature=0.0, top_p=1.0),
            )
            with base.sampler(None) as sampler:
                self._ask(rows, sampler, meter, greedy, task.student_prompt, 0, "pre-flight: base", self.progress)

    def look(self, sampler: Sampler, meter: Meter, sampling: Sampling, collect: Callable[[Wanted], None]) -> None:
        """Guarantee that preflight.json says what the sample shows, and that the user knows.

        Args:
            sampler: the teacher.
            meter: counts what it is asked.
            collect: stores the teacher's answers to the queries that are wanted, among those of the whole pass.

        Raises:
            TaskError: there is nothing to distil, and that is to be refused.
        """
        collect(reaching(self.numbers, sampler.chunk))
        second = self.run.preflight("teacher")
        if sampling.temperature > 0 and not second.complete:
            draw, asked = self.settings["samples"], self.work.task.teacher_prompt
            self._ask(second, sampler, meter, sampling, asked, draw, "teacher again", Silent())
        found = findings(self._looked(), greedy=sampling.temperature == 0)
        self.run.write_json(FILE, {"made_by": dict(self.made_by), **found})
        heed(self.run, self.strict, self.progress)

    def _ask(
        self,
        rows: RowFile,
        sampler: Sampler,
        meter: Meter,
        sampling: Sampling,
        asked: Callable[[Query], Any],
        draw: int,
        name: str,
        progress: Progress,
    ) -> None:
        wanted = reaching(self.numbers, sampler.chunk)
        numbers = list(takewhile(lambda number: number <= wanted[-1], self._held_out()))

        def questions() -> Iterator[Question]:
            for query in picked(self.work, numbers):
                seed = request_seed(self.settings["seed"], query.id, draw)
                yield Question(query, Request(Key(query.number), asked(query), seed))

        with rows.open(self.settings["count"]) as writer:
            progress.begin(name, len(numbers), writer.count, "answers")
            place = lambda question: question.query.number  # noqa: E731
            Answers(questions, sampling, writer, place, lambda question: None, meter, progress).collect(sampler)
            writer.finish(self.run.seal)
            progress.end()

    def _looked(self) -> Looked:
        numbers = set(self.numbers)
        queries = list(picked(self.work, self.numbers))
        drawn: dict[int, list[Mapping[str, Any]]] = {number: [] for number in self.numbers}
        for row in read_rows(self.run.responses(self.settings["samples"]).part):
            if row["number"] in numbers:
                drawn[row["number"]].append(row)
        for rows in drawn.values():
            rows.sort(key=lambda row: row.get("sample", 0))
        second = self.run.preflight("teacher")
        again = {row["number"]: row for row in read_rows(second.path)} if second.complete else {}
        base = {row["number"]: row for row in read_rows(self.run.preflight("base").path)}
        return Looked(self.work.task, queries, drawn, again, base)


def reaching(numbers: list[int], chunk: int | None) -> Wanted:
    """Return which queries are asked so that these are answered: only they, or all up to the end of their last chunk."""
    return numbers if chunk is None else range((numbers[-1] // chunk + 1) * chunk)


def heed(run: RunDirectory, strict: bool, progress: Progress) -> None:
    """Refuse, or say, what the pre-flight found against the run.

    Raises:
        TaskError: it found something, and `strict` is given.
    """
    found = run.read_json(FILE)
    if found is None:
        return
    for warning in found["warnings"]:
        progress.say(f"pre-flight on {found['n']} queries: {warning}")
    if not found["problems"]:
        return
    problem = "; ".join(found["problems"])
    if strict:
        raise TaskError(
            f"there is nothing to distil: on the {found['n']} queries looked at first, {problem}; "
            f"read {run.path / FILE} and mend the prompt, or go on with --force"
        )
    progress.say(f"pre-flight: there seems to be nothing to distil: on {found['n']} queries, {problem}")


def base_made_by(student: str, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the base's answers depend on, besides what is asked: the model, and what was resolved for it."""
    return {"student": student, "resolved": resolved.get("student")}


def answered(run: RunDirectory, arm: str, made_by: Mapping[str, Any]) -> Reuse:
    """Return what finds an arm's answer in the pre-flight; none where another model, or another machine, gave it."""
    found, rows = run.read_json(FILE), run.preflight(arm)
    same = found is not None and rows.complete and (arm == "teacher" or found["made_by"] == made_by)
    answers = _by_number(read_rows(run.check(rows.path))) if same else {}

    def reuse(question: Question) -> Mapping[str, Any] | None:
        row = answers.get(question.query.number)
        same = row is not None and row["prompt"] == prompt_hash(question.request.prompt)
        return {**row, "reused": True} if row is not None and same else None

    return reuse


def _by_number(rows: Iterable[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    return {row["number"]: row for row in rows}
