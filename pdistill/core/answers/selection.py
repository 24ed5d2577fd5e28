"""The selection of the target that is learnt from a query's samples: the most common, or the best by the task's score."""

from collections import Counter
from dataclasses import dataclass

from pdistill.core.contract.queries import Query
from pdistill.core.contract.targets import CUT_OFF, FAILED, UNSURE, HardTarget, Rejected, Select
from pdistill.core.contract.task import Task
from pdistill.core.numerics.split import Split
from pdistill.core.store.answerrow import AnswerRow

Target = HardTarget | Rejected
UNFINISHED = {"length": CUT_OFF, "error": FAILED}


@dataclass(frozen=True, slots=True)
class Selection:
    """How the target is selected from a query's samples.

    A held-out query always gets the most common one: it is what the student is measured by, and selecting by reference,
    or dropping the queries that the teacher is unsure of, would flatter both.

    Args:
        select: how the sample that is learnt is selected.
        min_confidence: the fraction of the samples below which a target is not learnt.
    """

    select: Select = "commonest"
    min_confidence: float | None = None

    def pick(self, task: Task, query: Query, samples: list[Target], split: Split) -> tuple[Target, float]:
        """Return the target, and the fraction of the samples with the same answer."""
        target, confidence = most_common(task, samples)
        if split == "eval" or isinstance(target, Rejected):
            return target, confidence
        if self.select == "best":
            target, confidence = _best(task, query, samples, target)
        unsure = self.min_confidence is not None and confidence < self.min_confidence
        return (UNSURE, confidence) if unsure else (target, confidence)


def read_target(task: Task, query: Query, row: AnswerRow) -> Target:
    """Return the task's target for a row of the teacher; answers that were cut off or failed are rejected as such."""
    return _unfinished(row) or task.target(query, row.completion)


def read_arm(task: Task, query: Query, row: AnswerRow) -> Target:
    """Return the task's target for a row of an arm; see `read_target`."""
    return _unfinished(row) or task.arm_target(query, row.completion)


def most_common(task: Task, samples: list[Target]) -> tuple[Target, float]:
    """Return the first target with the most common answer, and that answer's fraction of the samples; the first sample wins ties.

    Where most samples are rejected, it is the most common rejection, with the fraction of all rejections.
    """
    if len(samples) == 1:
        return samples[0], 1.0
    rejected = [target for target in samples if isinstance(target, Rejected)]
    if 2 * len(rejected) > len(samples):
        return Counter(rejected).most_common(1)[0][0], len(rejected) / len(samples)
    kept = [target for target in samples if isinstance(target, HardTarget)]
    answer, count = Counter(task.answer(target.text) for target in kept).most_common(1)[0]
    return next(target for target in kept if task.answer(target.text) == answer), count / len(samples)


def _best(task: Task, query: Query, samples: list[Target], default: HardTarget) -> tuple[Target, float]:
    """Return the target with the highest score; the most common answer wins ties, then the first sample."""
    kept = [target for target in samples if isinstance(target, HardTarget)]
    counts = Counter(task.answer(target.text) for target in kept)
    scores = {target: task.score(query, target.text) for target in kept}
    if None in scores.values():
        return default, counts[task.answer(default.text)] / len(samples)
    best = max(kept, key=lambda target: (scores[target], counts[task.answer(target.text)]))
    return best, counts[task.answer(best.text)] / len(samples)


def _unfinished(row: AnswerRow) -> Rejected | None:
    return UNFINISHED.get(row.finish)
