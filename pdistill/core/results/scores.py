"""How right each arm is, query by query, and how far it agrees with the teacher."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pdistill.core.answers.selection import read_arm
from pdistill.core.contract.queries import Query
from pdistill.core.contract.targets import HardTarget
from pdistill.core.contract.task import Task
from pdistill.core.numerics.statistics import Figure, difference, recovery, share
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rows import read_records
from pdistill.core.store.rundir import ARMS, RunDirectory

BY = ("agreement", "accuracy")
_SAME: dict[float | None, float] = {0.0: 0.0, 1.0: 1.0}
"""One object for each of the commonest scores, of which there may be millions."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One arm's answer to one held-out query.

    Args:
        text: what the answer says to the task, without its reasoning, or None where it is rejected.
        agreement: with what the student learns, from 0 to 1; None where the teacher's answer was rejected.
        accuracy: against the reference, from 0 to 1; None where there is none.
        row: the answer as it was stored.
    """

    text: str | None
    agreement: float | None
    accuracy: float | None
    row: AnswerRow


Row = tuple[Query, str | None, dict[str, Judged]]
"""A held-out query, what the student learns there or None, and the answers by arm."""


@dataclass(slots=True)
class ArmScores:
    """Agreement and accuracy of one arm, query by query; None where a query has none."""

    agreement: list[float | None] = field(default_factory=list)
    accuracy: list[float | None] = field(default_factory=list)
    prompt_tokens: int = 0

    def known(self, by: str, places: Sequence[int]) -> list[float]:
        """Return the values of these queries that there are."""
        values: list[float | None] = getattr(self, by)
        return [value for value in (values[place] for place in places) if value is not None]

    def figures(self, places: Sequence[int]) -> dict[str, Figure | None]:
        """Return agreement and accuracy of these queries, with their intervals."""
        accuracy = self.known("accuracy", places)
        return {"agreement": share(self.known("agreement", places)), "accuracy": share(accuracy) if accuracy else None}


@dataclass(slots=True)
class Scores:
    """The scores of all arms, the queries of each slice, and, where there are labels, how often which met which answer."""

    arms: dict[str, ArmScores] = field(default_factory=lambda: {arm: ArmScores() for arm in ARMS})
    slices: dict[str, list[int]] = field(default_factory=dict)
    pairs: Counter[tuple[str, str | None]] = field(default_factory=Counter)

    @property
    def places(self) -> range:
        """The places of the held-out queries, from 0."""
        return range(len(self.arms["teacher"].agreement))

    @property
    def with_references(self) -> bool:
        """Whether a query has a reference."""
        return any(value is not None for value in self.arms["teacher"].accuracy)

    def arm(self, name: str) -> dict[str, Any]:
        """Return the arm as the report holds it."""
        scores = self.arms[name]
        slices = {slice: scores.figures(places) for slice, places in self.slices.items()}
        return {**scores.figures(self.places), "slices": slices}

    def recovery(self, by: str) -> Figure:
        """Return how much of the distance from base to teacher the student has made up."""
        return recovery(*self._paired(by, "student", "base", "teacher"))

    def difference(self, arm: str) -> dict[str, Figure | None]:
        """Return how much better the student is than another arm."""
        return {
            by: difference(*self._paired(by, "student", arm)) if by == "agreement" or self.with_references else None
            for by in BY
        }

    def _paired(self, by: str, *arms: str) -> list[list[float]]:
        columns: list[list[float | None]] = [getattr(self.arms[arm], by) for arm in arms]
        places = [place for place in self.places if all(column[place] is not None for column in columns)]
        return [self.arms[arm].known(by, places) for arm in arms]


def score(task: Task, run: RunDirectory, held_out: HeldOut) -> Scores:
    """Return the scores of all arms on the held-out queries."""
    return collect(judged(task, run, held_out, ARMS), task.answer)


def collect(rows: Iterable[Row], answer_of: Callable[[str], str] = str) -> Scores:
    """Return the scores of these queries, in their order.

    Args:
        answer_of: what of a target is counted among the pairs.
    """
    scores = Scores()
    for place, (query, learnt, answers) in enumerate(rows):
        for name in query.slices:
            scores.slices.setdefault(name, []).append(place)
        for arm, answer in answers.items():
            scores.arms[arm].agreement.append(_SAME.get(answer.agreement, answer.agreement))
            scores.arms[arm].accuracy.append(_SAME.get(answer.accuracy, answer.accuracy))
            scores.arms[arm].prompt_tokens += answer.row.prompt_tokens
        if learnt is not None:
            scores.pairs[answer_of(learnt), answers["student"].text] += 1
    scores.slices = dict(sorted(scores.slices.items()))
    return scores


def judged(
    task: Task, run: RunDirectory, held_out: HeldOut, arms: Sequence[str], places: Container[int] | None = None
) -> Iterator[Row]:
    """Yield each held-out query with what the student learns there, or None, and the arms' answers.

    Args:
        places: of the held-out queries that are wanted; None is all.
    """
    answers = {arm: read_records(AnswerRow, run.check(run.predictions(arm).path), places) for arm in arms}
    for query, example in held_out.at(places):
        learnt = example.target
        yield query, learnt, {arm: _judge(arm, task, query, learnt, next(answers[arm])) for arm in arms}


def _judge(arm: str, task: Task, query: Query, learnt: str | None, row: AnswerRow) -> Judged:
    """Judge one answer: a rejected one disagrees and is wrong; the teacher is right or wrong in what the student learns."""
    target = read_arm(task, query, row)
    text = target.text if isinstance(target, HardTarget) else None
    agreement = None if learnt is None else 0.0 if text is None else task.agreement(query, text, learnt)
    said = learnt if arm == "teacher" else text
    known = task.score(query, said if said is not None else "")
    answer = None if text is None else task.answer(text)
    return Judged(answer, agreement, None if known is None else 0.0 if said is None else known, row)
