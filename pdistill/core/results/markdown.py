"""The report as Markdown, and the sentences that it shares with the terminal and the page."""

from pdistill.core.contract.prices import MILLION, usd
from pdistill.core.escape import code
from pdistill.core.money.cost import Cost, StageCosts
from pdistill.core.numerics.estimates import Estimate, Recovery
from pdistill.core.numerics.statistics import MIN_GAP, MIN_N, SIGNIFICANCE
from pdistill.core.probes.findings import sentences
from pdistill.core.results.headline import WITHOUT_FORM, count, headline
from pdistill.core.results.judgement import JudgedArm, Judgement
from pdistill.core.results.report import FEW, Fields, Report
from pdistill.core.results.verdict import Verdict

FIRST, SHORT = 10, 200
PARENTHESES = "In parentheses: 95% confidence intervals."
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
        headline(report),
        "",
        *shipping(report.verdict),
        "",
        *arms_table(report),
        "",
        *([f"{PARENTHESES}\n"] if report.arms["student"].agreement.n >= FEW else []),
        *(f"{note}\n" for note in (ignoring_form(report),) if note),
        *fields_table(report.fields),
        f"Recovery in {report.recovery_in}: {recovery_of(report)}. Trained on {n.train:,} examples, {n.eval:,} held out; "
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
    agreement, accuracy = columns(report)
    lines = [f"| arm | {agreement} | {accuracy} |", "|---|---|---|"]
    for arm, metrics in report.arms.items():
        lines.append(f"| {ARM_NAMES[arm]} | {agreement_of(report, arm)} | {interval(metrics.accuracy)} |")
    return lines


def columns(report: Report) -> tuple[str, str]:
    """Return the headers of agreement and accuracy, which say so where they are means of grades."""
    graded = "mean " if report.graded else ""
    return (
        f"{graded}agreement with the teacher",
        f"{'mean score' if report.graded else 'accuracy'} against the reference",
    )


def fields_table(fields: Fields | None) -> list[str]:
    """Return the student's agreement field by field as a Markdown table; nothing if answers are not compared by fields."""
    if fields is None:
        return []
    rows = [f"| {code(name)} | {equal.n} | {interval(equal)} |" for name, equal in fields.by_name.items()]
    return ["| field | n | equal to the teacher's |", "|---|---|---|", *rows, ""]


def ignoring_form(report: Report) -> str:
    """Return how far base and student agree if the form of an answer is ignored; nothing where that is no different."""
    arms = [report.arms[arm] for arm in ("base", "student")]
    loose = [arm.ignoring_form for arm in arms if arm.ignoring_form is not None]
    if not loose or all(each.value == arm.agreement.value for each, arm in zip(loose, arms, strict=True)):
        return ""
    base, student = map(interval, loose)
    return f"{WITHOUT_FORM[0].upper()}{WITHOUT_FORM[1:]}, the base agrees on {base}, the student on {student}."


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
    more = f" (the first {FIRST}; more in report.html)" if found.n > FIRST else ""
    lines = [f"{found.n:,} disagreements, those in the worst slices first{more}:", ""]
    by_fields = any(row.fields for row in found.rows)
    names = ["query", "teacher", "student", "reference", *(["fields that differ"] if by_fields else [])]
    lines += [f"| {' | '.join(names)} |", f"{'|---' * len(names)}|"]
    for row in found.rows[:FIRST]:
        texts = [row.query, row.teacher, row.student.response, row.reference]
        texts += [", ".join(row.fields or [])] if by_fields else []
        lines.append("| " + " | ".join("–" if text is None else code(text[:SHORT]) for text in texts) + " |")
    return lines


def _probes(report: Report) -> list[str]:
    """Return the findings of the probes as a list."""
    return [
        f"- {name}{f' **({state})**' if state else ''}: {finding}" for name, state, finding in sentences(report.probes)
    ]


def shipping(verdict: Verdict | None) -> list[str]:
    """Return whether the student can be shipped and why, and what to do next; nothing in a report without a verdict."""
    if verdict is None:
        return []
    return [f"Verdict: {verdict.state}. {_sentence(verdict.reason)}", f"Next: {verdict.next}."]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


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


def recovery_of(report: Report) -> str:
    """Return the recovery with its interval, or why one of them is missing."""
    note = recovery_note(report)
    if report.recovery.value is None or report.arms["student"].agreement.n < FEW:
        return note
    return interval(report.recovery) + (f" ({note})" if report.recovery.low is None else "")


def recovery_note(report: Report) -> str:
    """Return what the recovery means, or why it or its interval is missing, without a full stop."""
    recovery, by = report.recovery, report.recovery_in
    if report.arms["student"].agreement.n < FEW:
        return "too few held-out queries"
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
    """Return an estimate with its interval, such as "0.970 (0.951 to 0.982)", or a dash if it is undefined.

    A fraction of very few queries is a count, such as "5 of 6".
    """
    if estimate is None or estimate.value is None:
        return "–"
    if isinstance(estimate, Estimate) and (counted := count(estimate)):
        return counted
    bounds = "" if estimate.low is None else f" ({estimate.low:.3f} to {estimate.high:.3f})"
    return f"{estimate.value:.3f}{bounds}"
