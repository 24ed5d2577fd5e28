"""What a sample says of a run: its figures, what speaks against it, and what to look out for."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pdistill.core.answers.selection import most_common, read_arm, read_target
from pdistill.core.contract.queries import Query
from pdistill.core.contract.targets import CUT_OFF, HardTarget, Rejected
from pdistill.core.contract.task import Task
from pdistill.core.numerics.statistics import difference, share
from pdistill.core.store.answerrow import AnswerRow

MOSTLY = 0.5
MIN_CHANGE = 0.05
MIN_TO_COMPARE = 20
MIN_TO_VARY = 5
OFTEN = 0.05
STEADY = 0.9
SHOWN = 60
"""Characters of an answer that can't be used."""

AnswersByNumber = Mapping[int, AnswerRow]


@dataclass(frozen=True, slots=True)
class Sample:
    """The answers to a sample, by query number.

    Args:
        samples: the teacher's answers to each query, in the order of the samples.
        again: one more answer of the teacher to each query; empty where it is greedy.
        base: the base's, without the prompt.
    """

    task: Task
    queries: list[Query]
    samples: Mapping[int, list[AnswerRow]]
    again: AnswersByNumber
    base: AnswersByNumber


def findings(sample: Sample, greedy: bool) -> dict[str, Any]:
    """Return what preflight.json holds: `n`, `figures`, `problems` that are refused, and `warnings`."""
    targets = {query.number: _target(sample, query) for query in sample.queries}
    reasons = Counter(target.reason for target in targets.values() if isinstance(target, Rejected))
    estimates = {
        "rejected": share([float(isinstance(target, Rejected)) for target in targets.values()]),
        "cut_off": share([float(target == CUT_OFF) for target in targets.values()]),
        "base_agreement": share(_agreements(sample, targets, sample.base)),
        "self_agreement": None if greedy else share(_agreements(sample, targets, sample.again)),
        **_accuracies(sample, targets),
    }
    figures = {name: None if estimate is None else asdict(estimate) for name, estimate in estimates.items()}
    n = len(sample.queries)
    problems = [*_unusable(sample, reasons), *_useless(figures)]
    return {
        "n": n,
        "figures": figures,
        "rejections": dict(reasons.most_common()),
        "problems": problems,
        "warnings": [*_warnings(figures), *_constant(sample, targets)],
    }


def _target(sample: Sample, query: Query) -> HardTarget | Rejected:
    return most_common(sample.task, [read_target(sample.task, query, row) for row in sample.samples[query.number]])[0]


def _agreements(sample: Sample, targets: Mapping[int, HardTarget | Rejected], rows: AnswersByNumber) -> list[float]:
    """Return how far each answer agrees with the teacher's target; without the queries where that is rejected."""
    values = []
    for query in sample.queries:
        target = targets[query.number]
        if isinstance(target, HardTarget):
            answer = read_arm(sample.task, query, rows[query.number])
            values.append(
                sample.task.agreement(query, answer.text, target.text) if isinstance(answer, HardTarget) else 0.0
            )
    return values


def _accuracies(sample: Sample, targets: Mapping[int, HardTarget | Rejected]) -> dict[str, Any]:
    """Return both accuracies and how much the prompt helps; null where no query has a reference."""
    teacher: list[float] = []
    base: list[float] = []
    for query in sample.queries:
        both = targets[query.number], read_arm(sample.task, query, sample.base[query.number])
        for values, target in zip((teacher, base), both, strict=True):
            score = sample.task.score(query, target.text if isinstance(target, HardTarget) else "")
            if score is not None:
                values.append(score if isinstance(target, HardTarget) else 0.0)
    if not teacher:
        return {"teacher_accuracy": None, "base_accuracy": None, "help": None}
    return {"teacher_accuracy": share(teacher), "base_accuracy": share(base), "help": difference(teacher, base)}


def _unusable(sample: Sample, reasons: Counter[str]) -> list[str]:
    """Return how many answers can't be used, with the most common reason and the first that it is given for."""
    n, rejected = len(sample.queries), sum(reasons.values())
    if rejected <= MOSTLY * n:
        return []
    reason, times = reasons.most_common(1)[0]
    answer = next(
        row.response.strip()
        for query in sample.queries
        for row in sample.samples[query.number]
        if read_target(sample.task, query, row) == Rejected(reason)
    )
    shown = answer if len(answer) <= SHOWN else f"{answer[:SHOWN]}…"
    return [f"{rejected} of {n} answers of the teacher can't be used ({times} {reason}), such as {shown!r}"]


def _useless(figures: Mapping[str, Any]) -> list[str]:
    """Return in which ways the prompt changes nothing, or does not help."""
    base, own = figures["base_agreement"]["value"], figures["self_agreement"]
    ceiling = 1.0 if own is None else own["value"]
    problems = []
    if base is not None and ceiling - base < MIN_CHANGE:
        itself = "" if own is None else f", and the teacher with itself on {ceiling:.1%}"
        problems.append(f"the base agrees with the teacher on {base:.1%} without the prompt{itself}")
    teacher, floor = figures["teacher_accuracy"], figures["base_accuracy"]
    if teacher is not None and teacher["n"] >= MIN_TO_COMPARE and teacher["value"] <= floor["value"]:
        problems.append(
            f"the prompt does not help: the teacher is right on {teacher['value']:.1%} with it, and the base on "
            f"{floor['value']:.1%} without"
        )
    return problems


def _constant(sample: Sample, targets: Mapping[int, HardTarget | Rejected]) -> list[str]:
    """Return that the teacher gave the same answer to every query, where it did."""
    answer = {sample.task.answer(target.text) for target in targets.values() if isinstance(target, HardTarget)}
    if len(answer) != 1 or len(targets) < MIN_TO_VARY:
        return []
    return [
        f"the teacher always answers {next(iter(answer))[:SHOWN]!r}, whatever the query: a student of it learns that one answer; "
        "are the examples in its prompt well mixed?"
    ]


def _warnings(figures: Mapping[str, Any]) -> list[str]:
    warnings = []
    if figures["cut_off"]["value"] > OFTEN:
        warnings.append(f"{figures['cut_off']['value']:.1%} of the teacher's answers are cut off; raise --max-tokens")
    own = figures["self_agreement"]
    if own is not None and own["value"] is not None and own["value"] < STEADY:
        warnings.append(
            f"at this temperature the teacher agrees with itself on {own['value']:.1%}, and no student can agree with it "
            "more; lower --temperature, or raise --samples"
        )
    return warnings
