"""The report as Markdown, and the sentences that it shares with the terminal and the page."""

from collections import Counter

from pdistill.core.contract.prices import MILLION, usd
from pdistill.core.money.cost import Cost, StageCosts
from pdistill.core.numerics.estimates import Estimate, Recovery
from pdistill.core.numerics.statistics import MIN_GAP, MIN_N, SIGNIFICANCE
from pdistill.core.probes.findings import alarms, sentences
from pdistill.core.results.judgement import JudgedArm, Judgement
from pdistill.core.results.report import Report

FIRST, SHORT = 10, 200
ARM_NAMES = {
    "teacher": "teacher, with prompt",
    "base": "base, no prompt",
    "base_prompted": "base, with prompt",
    "student": "student, no prompt",
    "student_prompted": "student, with prompt",
}


def markdown(report: Report) -> str:
    """Return the report as a Markdown page; names that come from the task are shown as code."""
    n, tokens, seconds = report.n, report.tokens, report.seconds
    lines = [
        f"# {code(report.task)}: student {code(report.student)}, teacher {code(report.teacher)}",
        "",
        verdict(report),
        "",
        *arms_table(report),
        "",
        f"Recovery in {report.recovery_in}: {interval(report.recovery)}. Trained on {n.train:,} examples, {n.eval:,} held out; "
        f"{n.rejected:,} teacher answers were rejected, {n.eval_rejected:,} of them held out (agreement leaves these out, "
        "accuracy counts them as wrong).",
        "",
        grouped(report),
        "",
        *([" ".join(judgement(report.judge)), ""] if report.judge else []),
        f"Input tokens per call: {tokens.prompt_teacher:,.0f} with the prompt, {tokens.prompt_student:,.0f} without; "
        f"{tokens.saved_per_call:,.0f} saved.",
        "",
        f"Cost: {cost_of_stages(report.cost)} {break_even(report.cost)}",
        "",
        *((f"{remote_student(report)}.", "") if report.remote else ()),
        "| slice | n | student's agreement | student's accuracy | teacher's accuracy |",
        "|---|---|---|---|---|",
    ]
    teacher = report.arms["teacher"].slices
    for name, metrics in report.arms["student"].slices.items():
        lines.append(
            f"| {code(name)} | {metrics.agreement.n} | {interval(metrics.agreement)} | "
            f"{interval(metrics.accuracy)} | {interval(teacher[name].accuracy)} |"
        )
    lines += ["", *_disagreements(report), "", *_probes(report), ""]
    lines += [
        f"Time: generate {seconds.generate:,.0f} s, train {seconds.train:,.0f} s, evaluate {seconds.evaluate:,.0f} s.",
        "",
    ]
    return "\n".join(lines)


def arms_table(report: Report) -> list[str]:
    """Return the arms' agreement and accuracy as the lines of a Markdown table."""
    lines = ["| arm | agreement with the teacher | accuracy against the reference |", "|---|---|---|"]
    for arm, metrics in report.arms.items():
        lines.append(f"| {ARM_NAMES[arm]} | {agreement_of(report, arm)} | {interval(metrics.accuracy)} |")
    return lines


def agreement_of(report: Report, arm: str) -> str:
    """Return an arm's agreement with its interval; without one if it is 1 because the teacher decodes greedily."""
    agreement = report.arms[arm].agreement
    by_definition = arm == "teacher" and report.greedy_teacher and agreement.value == 1
    return "1 (by definition)" if by_definition else interval(agreement)


def _disagreements(report: Report) -> list[str]:
    """Return the number of disagreements, and the first of them."""
    found = report.disagreements
    if not found.n:
        return ["The student agrees on every held-out query for which the teacher's answer is usable."]
    lines = [f"{found.n:,} disagreements, those in the worst slices first (more in report.html):", ""]
    lines += ["| query | teacher | student | reference |", "|---|---|---|---|"]
    for row in found.rows[:FIRST]:
        texts = (row.query, row.teacher, row.student.response, row.reference)
        lines.append("| " + " | ".join("–" if text is None else code(text[:SHORT]) for text in texts) + " |")
    return lines


def _probes(report: Report) -> list[str]:
    """Return the findings of the probes as a list."""
    return [
        f"- {name}{f' **({state})**' if state else ''}: {finding}" for name, state, finding in sentences(report.probes)
    ]


def verdict(report: Report) -> str:
    """Return the outcome in a sentence or two."""
    student, base = (report.arms[arm].agreement.value for arm in ("student", "base"))
    if student is None or base is None:
        return "No held-out query has a usable teacher answer, so there is nothing to compare."
    raised, constant = alarms(report.probes), _most_common(report)
    warning = f" Alarm: {', '.join(raised)}." if raised else ""
    if constant is not None and constant >= student:
        warning = f" Always giving the teacher's most common answer would agree on {constant:.1%}.{warning}"
    return (
        f"Without the prompt, the student agrees with the teacher on {student:.1%} of the held-out queries (before "
        f"training: {base:.1%}).{warning}"
    )


def _most_common(report: Report) -> float | None:
    """Return the fraction of the teacher's most common held-out answer; None if the task has no labels."""
    if not report.confusions:
        return None
    counts: Counter[str] = Counter()
    for row in report.confusions.rows:
        counts[row.teacher] += row.n
    return max(counts.values()) / counts.total() if counts else None


def judgement(judgement: Judgement) -> list[str]:
    """Return the verdicts of a judge model, a sentence per arm, and whether it is biased by position."""
    lines = [f"Judged by {judgement.judge}, each pair of answers in both orders:"]
    lines += [f"{ARM_NAMES[arm]}: {_judged(verdicts)}" for arm, verdicts in judgement.arms.items()]
    order = judgement.order
    preferred = order.first + order.second
    if preferred and order.p is not None:
        significant = "statistically significant" if order.p < SIGNIFICANCE else "not statistically significant"
        lines.append(
            f"Position bias: in {preferred:,} pairs the same position was preferred in both orders, the first in "
            f"{order.first:,} of them; {significant}."
        )
    return lines


def _judged(verdicts: JudgedArm) -> str:
    good = verdicts.as_good
    counts = (
        f"{verdicts.identical:,} identical, {verdicts.same:,} the same in substance, {verdicts.better:,} better, "
        f"{verdicts.worse:,} worse, {verdicts.undecided:,} undecided (counted half), {verdicts.rejected:,} rejected"
    )
    unreadable = f", {verdicts.unreadable:,} unreadable verdicts left out" if verdicts.unreadable else ""
    return f"at least as good as the teacher's answer on {interval(good)} of {good.n:,} queries: {counts}{unreadable}."


def cost_of_stages(cost: StageCosts) -> str:
    """Return the cost of each stage, in money if it has a price, and in tokens."""
    sampling = [
        f"{stage.prompt_tokens:,} input and {stage.sampled_tokens:,} output tokens"
        for stage in (cost.generate, cost.evaluate)
    ]
    stages = (
        ("generate", cost.generate.usd, sampling[0]),
        ("train", cost.train.usd, f"{cost.train.sequence_tokens:,} tokens"),
        ("evaluate", cost.evaluate.usd, sampling[1]),
    )
    parts = ", ".join(f"{name} {usd(paid)} ({tokens})" if paid else f"{name} {tokens}" for name, paid, tokens in stages)
    if cost.usd is None:
        prices = {"teacher": cost.prices.teacher, "student": cost.prices.student}
        unknown = " and ".join(role for role, known in prices.items() if known is None)
        return f"{parts}; no total in USD, since the price of the {unknown} is unknown."
    return f"{parts}; {usd(cost.usd) if cost.usd else '$0'} in total."


def break_even(cost: Cost) -> str:
    """Return in one sentence after how many calls the run pays for itself."""
    calls = cost.break_even_calls
    if calls is None:
        nothing = "no money" if cost.break_even_in == "usd" else "no tokens"
        return f"Break-even: never, since a call without the prompt saves {nothing}."
    if cost.break_even_in == "usd" and cost.saved_usd_per_call is not None:
        how = f"a million calls without the prompt save {usd(cost.saved_usd_per_call * MILLION)}"
    else:
        how = "the run's tokens divided by the input tokens saved per call"
    return f"Break-even: the run pays for itself after {calls:,} calls ({how})."


def remote_student(report: Report) -> str:
    """Return where a student that a service trained can be sampled, and how its adapter compares with it."""
    note = report.remote or {}
    if note["checked"]:
        return (
            "The student is on this machine too: its log-probabilities differ from the service's by "
            f"{note['difference']:.2g} nats per token on {note['examples']} held-out examples (tolerance {note['tolerance']:g})"
        )
    return f"The student is sampled on the service; its adapter is unchecked: {code(str(note['reason']))}"


def recovery_note(report: Report) -> str:
    """Return what the recovery means, or why it or its interval is missing, without a full stop."""
    recovery, by = report.recovery, report.recovery_in
    if recovery.value is None:
        return "undefined, because the teacher is no better than the base"
    if recovery.low is None:
        gap = f"{100 * MIN_GAP:.0f} percentage points better than the base in {by}"
        return f"no interval: it needs at least {MIN_N} queries and a teacher at least {gap}"
    return f"95% interval {recovery.low:.1%} to {recovery.high:.1%} of the gap between base and teacher"


def grouped(report: Report) -> str:
    """Return in one sentence how many queries are grouped, and so were kept within one split."""
    groups = report.groups
    if not groups.groups:
        return "No queries are near-duplicates or grouped by the task, so each was split on its own."
    if groups.groups == 1:
        return (
            f"1 group of {groups.queries:,} related queries (near-duplicates, or grouped by the task) was kept within one "
            "split."
        )
    return (
        f"{groups.groups:,} groups of related queries (near-duplicates, or grouped by the task; {groups.queries:,} queries, at "
        f"most {groups.largest:,} per group) were each kept within one split."
    )


def interval(estimate: Estimate | Recovery | None) -> str:
    """Return an estimate with its interval, such as "0.970 (0.951 to 0.982)", or a dash if it is undefined."""
    if estimate is None or estimate.value is None:
        return "–"
    bounds = "" if estimate.low is None else f" ({estimate.low:.3f} to {estimate.high:.3f})"
    return f"{estimate.value:.3f}{bounds}"


def code(text: str) -> str:
    """Return a name as inline code that can't break out of its cell."""
    return (
        "`"
        + "".join(char if char.isprintable() and char not in "`|" else "\N{REPLACEMENT CHARACTER}" for char in text)
        + "`"
    )
