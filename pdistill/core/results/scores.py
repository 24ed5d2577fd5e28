"""Agreement with the teacher and accuracy of each arm, query by query."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pdistill.core.answers.selection import read_arm
from pdistill.core.contract.likeness import bare
from pdistill.core.contract.queries import Query
from pdistill.core.contract.targets import HardTarget
from pdistill.core.contract.task import Task
from pdistill.core.numerics.estimates import Estimate, Recovery
from pdistill.core.numerics.statistics import difference, recovery, share
from pdistill.core.results.metrics import ArmMetrics, By, Metrics
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rows import misplaced, read_records
from pdistill.core.store.rundir import ARMS, RunDirectory

_SAME: dict[float | None, float] = {0.0: 0.0, 1.0: 1.0}
"""One object for each of the most common scores, of which there may be millions."""


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One arm's answer to one held-out query.

    Args:
        text: the final answer as the task reads it, without reasoning; None if it is rejected.
        agreement: with the training target, from 0 to 1; None if the teacher's answer was rejected.
        ignoring_form: likewise, if case, and whitespace and punctuation at the ends, are ignored.
        fields: whether each field is equal to the training target's, by name; empty if answers are not compared by fields.
        accuracy: against the reference, from 0 to 1; None if there is none.
        response: the text as the model wrote it.
        prompt_tokens: its input tokens.
    """

    text: str | None
    agreement: float | None
    ignoring_form: float | None
    fields: Mapping[str, bool]
    accuracy: float | None
    response: str
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class ScoredQuery:
    """A held-out query with its training target, None if the teacher's answer was rejected, and the answers by arm."""

    query: Query
    target: str | None
    answers: dict[str, ScoredAnswer]


@dataclass(slots=True)
class ArmScores:
    """Agreement and accuracy of one arm, query by query; None where a query has none."""

    agreement: list[float | None] = field(default_factory=list)
    ignoring_form: list[float | None] = field(default_factory=list)
    accuracy: list[float | None] = field(default_factory=list)
    prompt_tokens: int = 0

    def by(self, by: By) -> list[float | None]:
        """Return one of the two."""
        return self.agreement if by == "agreement" else self.accuracy

    def known(self, by: By, places: Iterable[int]) -> list[float]:
        """Return the values of these queries, without those that have none."""
        values = self.by(by)
        return [value for value in (values[place] for place in places) if value is not None]

    def accuracy_of(self, places: Iterable[int]) -> Estimate | None:
        """Return the accuracy on these queries, None if none of them has a reference."""
        known = self.known("accuracy", places)
        return share(known) if known else None

    def metrics(self, places: Sequence[int]) -> Metrics:
        """Return agreement and accuracy on these queries, with their intervals."""
        return Metrics(share(self.known("agreement", places)), self.accuracy_of(places))


@dataclass(slots=True)
class Scores:
    """The scores of all arms, the places of each slice's queries, and how often each pair of answers occurs.

    A pair is the teacher's answer and the student's; it is None if that was rejected. `fields` says for each field, and
    `fields_by_query` for each query, which of the student's fields are equal to the teacher's.
    """

    arms: dict[str, ArmScores] = field(default_factory=lambda: {arm: ArmScores() for arm in ARMS})
    slices: dict[str, list[int]] = field(default_factory=dict)
    pairs: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    fields: dict[str, list[float]] = field(default_factory=dict)
    fields_by_query: list[list[float]] = field(default_factory=list)

    @property
    def places(self) -> range:
        """The places of the held-out queries, from 0."""
        return range(len(self.arms["teacher"].agreement))

    @property
    def with_references(self) -> bool:
        """Whether any query has a reference."""
        return any(value is not None for value in self.arms["teacher"].accuracy)

    @property
    def graded(self) -> bool:
        """Whether any answer of base or student agrees with the teacher's in part."""
        return any(value not in (None, 0, 1) for arm in ("base", "student") for value in self.arms[arm].agreement)

    @property
    def recovery_in(self) -> By:
        """What recovery is computed in."""
        return "accuracy" if self.with_references else "agreement"

    def arm(self, name: str) -> ArmMetrics:
        """Return the metrics of an arm."""
        scores = self.arms[name]
        slices = {slice: scores.metrics(places) for slice, places in self.slices.items()}
        agreement = scores.known("agreement", self.places)
        ignoring_form = [value for value in scores.ignoring_form if value is not None]
        return ArmMetrics(
            agreement=share(agreement),
            accuracy=scores.accuracy_of(self.places),
            slices=slices,
            equal=share([float(value == 1) for value in agreement]),
            ignoring_form=share(ignoring_form),
        )

    def recovery(self, by: By) -> Recovery:
        """Return the recovered fraction of the gap between base and teacher."""
        return recovery(*self._paired(by, "student", "base", "teacher"))

    def difference(self, arm: str) -> Metrics:
        """Return how much better the student is than another arm."""
        agreement, accuracy = (difference(*self._paired(by, "student", arm)) for by in ("agreement", "accuracy"))
        return Metrics(agreement, accuracy if self.with_references else None)

    def _paired(self, by: By, *arms: str) -> list[list[float]]:
        columns = [self.arms[arm].by(by) for arm in arms]
        places = [place for place in self.places if all(column[place] is not None for column in columns)]
        return [self.arms[arm].known(by, places) for arm in arms]


def score(task: Task, run: RunDirectory, held_out: HeldOut) -> Scores:
    """Return the scores of all arms on the held-out queries."""
    return collect(scored(task, run, held_out, ARMS), task.answer)


def collect(queries: Iterable[ScoredQuery], answer_of: Callable[[str], str] = str) -> Scores:
    """Return the scores of these queries, in their order.

    Args:
        answer_of: reads a target's answer, which is counted in the pairs.
    """
    scores = Scores()
    for place, each in enumerate(queries):
        for name in each.query.slices:
            scores.slices.setdefault(name, []).append(place)
        for arm, answer in each.answers.items():
            scores.arms[arm].agreement.append(_SAME.get(answer.agreement, answer.agreement))
            scores.arms[arm].ignoring_form.append(_SAME.get(answer.ignoring_form, answer.ignoring_form))
            scores.arms[arm].accuracy.append(_SAME.get(answer.accuracy, answer.accuracy))
            scores.arms[arm].prompt_tokens += answer.prompt_tokens
        student = each.answers["student"]
        if each.target is not None:
            scores.pairs[answer_of(each.target), student.text] += 1
        if student.fields:
            scores.fields_by_query.append([float(equal) for equal in student.fields.values()])
        for name, equal in student.fields.items():
            scores.fields.setdefault(name, []).append(float(equal))
    scores.slices = dict(sorted(scores.slices.items()))
    return scores


def scored(
    task: Task, run: RunDirectory, held_out: HeldOut, arms: Sequence[str], places: Container[int] | None = None
) -> Iterator[ScoredQuery]:
    """Yield each held-out query with its training target and the arms' answers, scored.

    Args:
        places: of the held-out queries that are wanted; None for all.

    Raises:
        RunError: an arm's file lacks an answer, was changed, or cannot be read.
    """
    rows = {arm: read_records(AnswerRow, run.check(run.predictions(arm).path), places) for arm in arms}
    for query, example in held_out.at(places):
        target = example.target
        answers = {arm: _score(arm, task, query, target, _answer(rows[arm], run, arm, query)) for arm in arms}
        yield ScoredQuery(query, target, answers)


def _answer(rows: Iterator[AnswerRow], run: RunDirectory, arm: str, query: Query) -> AnswerRow:
    row = next(rows, None)
    if row is None or row.number != query.number:
        raise misplaced(run.predictions(arm).path, query.id)
    return row


def _score(arm: str, task: Task, query: Query, target: str | None, row: AnswerRow) -> ScoredAnswer:
    """Score one answer: a rejected one disagrees and is wrong; the teacher's accuracy is that of the training target."""
    read = read_arm(task, query, row)
    text = read.text if isinstance(read, HardTarget) else None
    agreement = None if target is None else 0.0 if text is None else task.agreement(query, text, target)
    answered = target if arm == "teacher" else text
    known = task.score(query, answered if answered is not None else "")
    accuracy = None if known is None else 0.0 if answered is None else known
    return ScoredAnswer(
        text=None if text is None else task.answer(text),
        agreement=agreement,
        ignoring_form=1.0 if agreement != 1 and _same_but_for_form(task, row, target) else agreement,
        fields=_fields(task, query, text, target) if arm == "student" else {},
        accuracy=accuracy,
        response=row.response,
        prompt_tokens=row.prompt_tokens,
    )


def _same_but_for_form(task: Task, row: AnswerRow, target: str | None) -> bool:
    """Return whether an answer that is complete would agree if its form were ignored, even if the task rejects it."""
    if target is None or row.finish != "stop":
        return False
    return bare(task.answer(row.response)) == bare(task.answer(target))


def _fields(task: Task, query: Query, text: str | None, target: str | None) -> Mapping[str, bool]:
    """Return which fields are equal to the target's: none of them if the answer was rejected, or has no fields at all."""
    if target is None:
        return {}
    own = {} if text is None else task.fields(query, text, target)
    return own or dict.fromkeys(task.fields(query, target, target), False)
