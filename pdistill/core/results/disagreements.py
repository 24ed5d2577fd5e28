"""Where the student's answer differs from the teacher's: label by label, and query by query."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import MaxLen

from pdistill.core.contract.task import Task
from pdistill.core.numerics.estimates import Amount, Count
from pdistill.core.results.scores import ScoredAnswer, ScoredQuery, Scores, scored
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rundir import RunDirectory

SHOWN = 200
LONGEST = 1_000


@dataclass(frozen=True, slots=True)
class LabelPair:
    """How often the student gave one label where the teacher gave another, or the same."""

    teacher: str
    student: str | None
    """Null if its answer was rejected."""
    n: Count


@dataclass(frozen=True, slots=True)
class Confusions:
    """The confusion matrix: the counts of all pairs of labels that occur, the most common first."""

    labels: list[str]
    rows: list[LabelPair]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, truncated to 1,000 characters."""

    response: str
    rejected: bool


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A held-out query on which the student does not fully agree."""

    id: str
    query: str
    slices: list[str]
    reference: str | None
    teacher: str
    """The training target."""
    base: Answer
    student: Answer
    agreement: Amount
    fields: list[str] | None = None
    """The fields that differ; null if answers are not compared by fields."""


@dataclass(frozen=True, slots=True)
class Disagreements:
    """The number of all disagreements, and at most 200 of them, those of the worst slices first."""

    n: Count
    rows: Annotated[list[Disagreement], MaxLen(SHOWN)]


def confusions(scores: Scores, labels: tuple[str, ...] | None) -> Confusions | None:
    """Return the confusion matrix, or None if the task has no labels."""
    if labels is None:
        return None
    pairs = sorted(scores.pairs.items(), key=lambda pair: (-pair[1], pair[0][0], pair[0][1] or ""))
    return Confusions(list(labels), [LabelPair(teacher, student, n) for (teacher, student), n in pairs])


def disagreements(task: Task, run: RunDirectory, held_out: HeldOut, scores: Scores) -> Disagreements:
    """Return the held-out queries on which the student does not fully agree, those of the worst slices first."""
    agreement = scores.arms["student"].agreement
    rank = _ranks(scores)
    places = [place for place in scores.places if agreement[place] not in (None, 1)]
    shown = sorted(places, key=lambda place: (rank[place], place))[:SHOWN]
    wanted = set(shown)
    queries = scored(task, run, held_out, ("base", "student"), wanted)
    rows = {place: _disagreement(query) for place, query in zip(sorted(wanted), queries, strict=True)}
    return Disagreements(len(places), [rows[place] for place in shown])


def _disagreement(scored: ScoredQuery) -> Disagreement:
    query, student = scored.query, scored.answers["student"]
    return Disagreement(
        id=query.id,
        query=cut(query.text),
        slices=list(query.slices),
        reference=None if query.reference is None else cut(query.reference),
        teacher=cut(scored.target or ""),
        base=_answer(scored.answers["base"]),
        student=_answer(student),
        agreement=student.agreement or 0.0,
        fields=[name for name, equal in student.fields.items() if not equal] or None,
    )


def _ranks(scores: Scores) -> list[float]:
    """Return for each held-out query the student's agreement in the worst of its slices."""
    rank = [1.0] * len(scores.places)
    for places in scores.slices.values():
        known = scores.arms["student"].known("agreement", places)
        mean = sum(known) / len(known) if known else 1.0
        for place in places:
            rank[place] = min(rank[place], mean)
    return rank


def _answer(answer: ScoredAnswer) -> Answer:
    return Answer(cut(answer.response), answer.text is None)


def cut(text: str) -> str:
    """Return the text, or its first 1,000 characters and an ellipsis."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
