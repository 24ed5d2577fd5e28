"""The rule by which a student is shipped: its agreement reaches a threshold, no probe raises an alarm, no slice lags behind."""

from collections.abc import Callable

from pdistill.core.escape import code
from pdistill.core.numerics.statistics import needed
from pdistill.core.probes.findings import alarms, states
from pdistill.core.results.report import FEW, Report
from pdistill.core.results.verdict import Verdict

LEAST_AGREEMENT = 0.9
"""Agreement that the lower bound of the student's 95% interval must reach."""
FEW_EXAMPLES = 1_000
"""Training examples below which more queries are the first thing to try."""
MOST_TIMES = 20
"""How many times as many held-out queries are worth proposing."""
OFTEN_REJECTED = 0.2
"""Fraction of rejected teacher answers from which the prompt is the first thing to fix."""


def verdict(report: Report) -> Verdict:
    """Return whether the student can be shipped: what first speaks against it, or what speaks for it."""
    for objection in OBJECTIONS:
        if (found := objection(report)) is not None:
            return found
    agreement = report.arms["student"].agreement
    return Verdict(
        "ship",
        f"the lower bound of its agreement, {agreement.low:.1%}, reaches {LEAST_AGREEMENT:.0%}, and {_probed(report)}",
        "export or serve it: pdistill export RUN DIR, pdistill serve RUN",
    )


def _nothing_to_compare(report: Report) -> Verdict | None:
    if report.arms["student"].agreement.n:
        return None
    return Verdict(
        "can't tell",
        "no held-out query has a usable teacher answer",
        "read responses.jsonl, fix the prompt, and start a new run",
    )


def _alarm(report: Report) -> Verdict | None:
    raised = alarms(report.probes)
    if not raised:
        return None
    what = "probes raise alarms" if len(raised) > 1 else "probe raises an alarm"
    return Verdict("not yet", f"{len(raised)} {what}: {', '.join(raised)}", "do what is said beside each alarm below")


def _too_few(report: Report) -> Verdict | None:
    n = report.arms["student"].agreement.n
    if n >= FEW:
        return None
    return Verdict(
        "can't tell",
        f"{n} held-out {'query is' if n == 1 else 'queries are'} too few",
        f"use at least {5 * FEW} queries, so that {FEW} of them are held out",
    )


def _constant(report: Report) -> Verdict | None:
    constant, student = most_common_answer(report), report.arms["student"].agreement.value
    if constant is None or student is None or constant < student:
        return None
    return Verdict(
        "not yet",
        f"always giving the teacher's most common answer would agree on {constant:.1%}, as often as the student",
        "use queries with more varied answers, or fix the prompt",
    )


def _no_gain(report: Report) -> Verdict | None:
    gain = report.differences["base"].agreement
    if gain.low is None or gain.low > 0:
        return None
    return Verdict(
        "can't tell",
        "the student is not significantly better than the base without the prompt",
        "try another prompt, or more queries; if the base is good enough, you don't need a student",
    )


def _below(report: Report) -> Verdict | None:
    agreement = report.arms["student"].agreement
    if agreement.high is None or agreement.high >= LEAST_AGREEMENT:
        return None
    return Verdict(
        "not yet",
        f"the upper bound of its agreement, {agreement.high:.1%}, is below {LEAST_AGREEMENT:.0%}",
        _improvement(report),
    )


def _slice_below(report: Report) -> Verdict | None:
    slices = report.arms["student"].slices
    for name in report.worse_slices:
        high = slices[name].agreement.high
        if high is not None and high < LEAST_AGREEMENT:
            return Verdict(
                "not yet",
                f"on the slice {code(name)}, the upper bound of its agreement, {high:.1%}, is below {LEAST_AGREEMENT:.0%}",
                _improvement(report),
            )
    return None


def _open(report: Report) -> Verdict | None:
    agreement = report.arms["student"].agreement
    if agreement.low is None or agreement.value is None or agreement.low >= LEAST_AGREEMENT:
        return None
    enough = needed(agreement.value, LEAST_AGREEMENT)
    return Verdict(
        "can't tell",
        f"the interval of its agreement, {agreement.low:.1%} to {agreement.high:.1%}, contains {LEAST_AGREEMENT:.0%}",
        _improvement(report)
        if enough is None or enough > MOST_TIMES * agreement.n or report.graded
        else f"hold out about {enough:,} queries in place of {agreement.n:,}: if the value stays, that decides it",
    )


def _improvement(report: Report) -> str:
    """Return what is most likely to raise the agreement."""
    n = report.n
    answered = n.train + n.eval + n.rejected
    if n.rejected > OFTEN_REJECTED * answered:
        return f"fix the prompt: {n.rejected:,} of {answered:,} teacher answers were rejected"
    if report.worse_slices:
        return f"add queries like those of the slice {code(next(iter(report.worse_slices)))}, and reuse the answers with --from"
    if n.train < FEW_EXAMPLES:
        return f"add queries: the student was trained on {n.train:,} examples; reuse the answers with --from"
    return f"train in a new run with --from and a higher rank (--rank {2 * report.made.rank}), or use a larger student"


def _probed(report: Report) -> str:
    """Return what the probes say of a student without an alarm."""
    each = states(report.probes)
    unclear = sum(state in ("inconclusive", "not run") for state in each)
    if unclear == len(each):
        return "side effects were not probed"
    return f"no probe raises an alarm{f' ({unclear} of {len(each)} inconclusive)' if unclear else ''}"


def most_common_answer(report: Report) -> float | None:
    """Return the fraction of the teacher's most common held-out answer; None if the task has no labels."""
    if not report.confusions:
        return None
    counts = dict.fromkeys((row.teacher for row in report.confusions.rows), 0)
    for row in report.confusions.rows:
        counts[row.teacher] += row.n
    return max(counts.values()) / sum(counts.values()) if counts else None


OBJECTIONS: tuple[Callable[[Report], Verdict | None], ...] = (
    _nothing_to_compare,
    _alarm,
    _too_few,
    _constant,
    _no_gain,
    _below,
    _slice_below,
    _open,
)
"""What can speak against shipping, in this order."""
