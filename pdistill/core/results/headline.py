"""The outcome of a run in a sentence or two, at the top of the terminal's report, the page, report.md and the model card."""

from dataclasses import replace

from pdistill.core.numerics.estimates import Estimate
from pdistill.core.probes.findings import alarms
from pdistill.core.results.metrics import ArmMetrics
from pdistill.core.results.report import FEW, Report
from pdistill.core.results.shipping import most_common_answer

WITHOUT_FORM = "ignoring case, and whitespace and punctuation at the ends"


def headline(report: Report) -> str:
    """Return the outcome: what the student's agreement counts, what it was before training, and what qualifies it."""
    student, base = report.arms["student"], report.arms["base"]
    if student.agreement.value is None or base.agreement.value is None:
        return "No held-out query has a usable teacher answer, so there is nothing to compare."
    outcome = _graded(report, student, base) if report.graded else _counted(student, base)
    return " ".join(filter(None, (_too_few(student.agreement.n), outcome, _constant(report), _alarms(report))))


def rate(estimate: Estimate | None) -> str:
    """Return a fraction as a percentage, or as a count where so few queries allow no percentage."""
    if estimate is None or estimate.value is None:
        return "–"
    return count(estimate) or f"{estimate.value:.1%}"


def count(estimate: Estimate) -> str:
    """Return a fraction of fewer than FEW queries as a count, such as "5 of 6"; nothing for others, and for a mean of grades."""
    times = (estimate.value or 0.0) * estimate.n
    return f"{round(times):,} of {estimate.n:,}" if estimate.n < FEW and abs(times - round(times)) < 1e-3 else ""


def _too_few(n: int) -> str:
    if n >= FEW:
        return ""
    held_out = "1 query is" if n == 1 else f"{n} queries are"
    return f"Only {held_out} held out, too few to conclude anything from."


def _counted(student: ArmMetrics, base: ArmMetrics) -> str:
    """Return the sentence where every answer agrees or does not."""
    before = rate(base.agreement)
    if (base.ignoring_form is not None) and (base.ignoring_form.value or 0) > (base.agreement.value or 0):
        before = f"{rate(base.ignoring_form)}, {WITHOUT_FORM}"
    agreed = rate(student.agreement)
    queries = f"{agreed} of the held-out queries" if agreed.endswith("%") else f"{agreed} held-out queries"
    return f"Without the prompt, the student agrees with the teacher on {queries} (before training: {before})."


def _graded(report: Report, student: ArmMetrics, base: ArmMetrics) -> str:
    """Return the sentence where answers agree in part: how many agree in full, and what the grades are means of."""
    if report.fields:
        partly = f"{report.fields.all.value:.1%} of their fields are"
        return (
            f"Without the prompt, {_full(student)} of the student's {student.agreement.n:,} held-out answers are equal to the "
            f"teacher's; {partly} (before training: {_full(base)} answers)."
        )
    return (
        f"Without the prompt, {_full(student)} of the student's {student.agreement.n:,} held-out answers agree in full with "
        f"the teacher's; the mean agreement is {student.agreement.value:.3f} (before training: {_full(base)} answers, mean "
        f"{base.agreement.value:.3f})."
    )


def _full(arm: ArmMetrics) -> str:
    equal = arm.equal
    return "–" if equal is None else f"{round((equal.value or 0) * equal.n):,}"


def _constant(report: Report) -> str:
    constant, student = most_common_answer(report), report.arms["student"].agreement
    if constant is None or student.value is None or constant < student.value:
        return ""
    return f"Always giving the teacher's most common answer would agree on {rate(replace(student, value=constant))}."


def _alarms(report: Report) -> str:
    raised = alarms(report.probes)
    return f"Alarm: {', '.join(raised)}." if raised else ""
