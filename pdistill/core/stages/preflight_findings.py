"""The findings of the preflight: what a sample shows of a run, what speaks against it, and what to look out for."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pdistill.core.answers.selection import most_common, read_arm, read_target
from pdistill.core.contract.queries import Query
from pdistill.core.contract.targets import CUT_OFF, HardTarget, Rejected
from pdistill.core.contract.task import Task
from pdistill.core.numerics.estimates import Estimate
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


@dataclass(frozen=True, slots=True)
class SampleMetrics:
    """What was measured on the sample; None where it is not known.

    Args:
        rejected: the fraction of the queries whose answer is rejected.
        cut_off: the fraction of those that are cut off.
        base_agreement: of the base, without the prompt, with the teacher.
        self_agreement: of the teacher with itself; None where it is greedy.
        teacher_accuracy: against the references; None where there are none.
        base_accuracy: likewise, without the prompt.
        help: the difference of the two.
    """

    rejected: Estimate
    cut_off: Estimate
    base_agreement: Estimate
    self_agreement: Estimate | None
    teacher_accuracy: Estimate | None
    base_accuracy: Estimate | None
    help: Estimate | None


@dataclass(frozen=True, slots=True)
class Findings:
    """What preflight.json holds.

    Args:
        n: queries of the sample.
        rejections: by reason.
        problems: what the run is refused for.
        warnings: what its user should know.
    """

    n: int
    figures: SampleMetrics
    rejections: Mapping[str, int]
    problems: list[str]
    warnings: list[str]


def preflight_findings(sample: Sample, greedy: bool) -> Findings:
    """Return what the sample shows."""
    targets = {query.number: _target(sample, query) for query in sample.queries}
    reasons = Counter(target.reason for target in targets.values() if isinstance(target, Rejected))
    teacher, base = _accuracies(sample, targets)
    metrics = SampleMetrics(
        rejected=share([float(isinstance(target, Rejected)) for target in targets.values()]),
        cut_off=share([float(target == CUT_OFF) for target in targets.values()]),
        base_agreement=share(_agreements(sample, targets, sample.base)),
        self_agreement=None if greedy else share(_agreements(sample, targets, sample.again)),
        teacher_accuracy=share(teacher) if teacher else None,
        base_accuracy=share(base) if teacher else None,
        help=difference(teacher, base) if teacher else None,
    )
    return Findings(
        n=len(sample.queries),
        figures=metrics,
        rejections=dict(reasons.most_common()),
        problems=[*_unusable(sample, reasons), *_useless(metrics)],
        warnings=[*_warnings(metrics), *_constant(sample, targets)],
    )


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


def _accuracies(sample: Sample, targets: Mapping[int, HardTarget | Rejected]) -> tuple[list[float], list[float]]:
    """Return the scores of teacher and base, of the queries that have a reference."""
    teacher: list[float] = []
    base: list[float] = []
    for query in sample.queries:
        both = targets[query.number], read_arm(sample.task, query, sample.base[query.number])
        for values, target in zip((teacher, base), both, strict=True):
            score = sample.task.score(query, target.text if isinstance(target, HardTarget) else "")
            if score is not None:
                values.append(score if isinstance(target, HardTarget) else 0.0)
    return teacher, base


def _unusable(sample: Sample, reasons: Counter[str]) -> list[str]:
    """Return how many answers can't be used, with the most common reason and the first that it is given for."""
    n, rejected = len(sample.queries), sum(reasons.values())
    if rejected <= MOSTLY * n:
        return []
    reason, times = reasons.most_common(1)[0]
    answer = next(
        row.reason or row.response.strip()
        for query in sample.queries
        for row in sample.samples[query.number]
        if read_target(sample.task, query, row) == Rejected(reason)
    )
    shown = answer if len(answer) <= SHOWN else f"{answer[:SHOWN]}…"
    return [f"{rejected} of {n} answers of the teacher can't be used ({times} {reason}), such as {shown!r}"]


def _useless(metrics: SampleMetrics) -> list[str]:
    """Return in which ways the prompt changes nothing, or does not help."""
    agreement, own = metrics.base_agreement.value, metrics.self_agreement
    ceiling = 1.0 if own is None or own.value is None else own.value
    problems = []
    if agreement is not None and ceiling - agreement < MIN_CHANGE:
        itself = "" if own is None else f", and the teacher with itself on {ceiling:.1%}"
        problems.append(f"the base agrees with the teacher on {agreement:.1%} without the prompt{itself}")
    teacher, base = metrics.teacher_accuracy, metrics.base_accuracy
    if teacher is None or base is None or teacher.value is None or base.value is None:
        return problems
    if teacher.n >= MIN_TO_COMPARE and teacher.value <= base.value:
        problems.append(
            f"the prompt does not help: the teacher is right on {teacher.value:.1%} with it, and the base on "
            f"{base.value:.1%} without"
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


def _warnings(metrics: SampleMetrics) -> list[str]:
    warnings = []
    cut_off, own = metrics.cut_off.value, metrics.self_agreement
    if cut_off is not None and cut_off > OFTEN:
        warnings.append(f"{cut_off:.1%} of the teacher's answers are cut off; raise --max-tokens")
    if own is not None and own.value is not None and own.value < STEADY:
        warnings.append(
            f"at this temperature the teacher agrees with itself on {own.value:.1%}, and no student can agree with it "
            "more; lower --temperature, or raise --samples"
        )
    return warnings
