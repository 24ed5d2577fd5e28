"""Which of a query's answers is learnt: what each says, the commonest of them, or the best by the task's score."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion
from pdistill.core.contract.targets import CUT_OFF, FAILED, UNSURE, HardTarget, Rejected, Select
from pdistill.core.contract.task import Task
from pdistill.core.numerics.split import Part

Target = HardTarget | Rejected
UNFINISHED = {"length": CUT_OFF, "error": FAILED}


@dataclass(frozen=True, slots=True)
class Selection:
    """How one target is made of a query's draws.

    What is held out always gets the commonest: it is what the student is measured by, and a choice by the references,
    or without the queries that the teacher is unsure of, would flatter both.

    Args:
        select: which draw is learnt.
        min_confidence: the share of the draws below which a target is not learnt.
    """

    select: Select = "commonest"
    min_confidence: float | None = None

    def pick(self, task: Task, query: Query, drawn: list[Target], part: Part) -> tuple[Target, float]:
        """Return the target, and the share of the draws that say the same."""
        target, confidence = commonest(task, drawn)
        if part == "eval" or isinstance(target, Rejected):
            return target, confidence
        if self.select == "best":
            target, confidence = _best(task, query, drawn, target)
        unsure = self.min_confidence is not None and confidence < self.min_confidence
        return (UNSURE, confidence) if unsure else (target, confidence)


def read_target(task: Task, query: Query, row: Mapping[str, Any]) -> Target:
    """Return what the teacher's row says to the task; an answer that was cut off or failed is rejected as that."""
    return _unfinished(row) or task.target(query, _completion(row))


def read_arm(task: Task, query: Query, row: Mapping[str, Any]) -> Target:
    """Return what an arm's row says to the task; likewise."""
    return _unfinished(row) or task.arm_target(query, _completion(row))


def commonest(task: Task, drawn: list[Target]) -> tuple[Target, float]:
    """Return the first target with the commonest answer, ties to the first drawn, and the share of that answer.

    Where most draws are rejected it is a rejection, with their share.
    """
    if len(drawn) == 1:
        return drawn[0], 1.0
    rejected = [target for target in drawn if isinstance(target, Rejected)]
    if 2 * len(rejected) > len(drawn):
        return Counter(rejected).most_common(1)[0][0], len(rejected) / len(drawn)
    kept = [target for target in drawn if isinstance(target, HardTarget)]
    answer, count = Counter(task.answer(target.text) for target in kept).most_common(1)[0]
    return next(target for target in kept if task.answer(target.text) == answer), count / len(drawn)


def _best(task: Task, query: Query, drawn: list[Target], default: HardTarget) -> tuple[Target, float]:
    """Return the target with the highest score, ties to the commonest answer and then to the first drawn."""
    kept = [target for target in drawn if isinstance(target, HardTarget)]
    counts = Counter(task.answer(target.text) for target in kept)
    scores = {target: task.score(query, target.text) for target in kept}
    if None in scores.values():
        return default, counts[task.answer(default.text)] / len(drawn)
    best = max(kept, key=lambda target: (scores[target], counts[task.answer(target.text)]))
    return best, counts[task.answer(best.text)] / len(drawn)


def _unfinished(row: Mapping[str, Any]) -> Rejected | None:
    return UNFINISHED.get(row["finish"])


def _completion(row: Mapping[str, Any]) -> Completion:
    return Completion(row["response"], row["finish"], row["prompt_tokens"], row["tokens"])
