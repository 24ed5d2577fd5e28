"""The report as Markdown, and the sentences that it shares with the terminal."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pdistill.core.contract.prices import MILLION, usd
from pdistill.core.money.cost import STAGES
from pdistill.core.numerics.statistics import MIN_GAP, MIN_N, SIGNIFICANCE
from pdistill.core.probes.findings import alarms, sentences
from pdistill.core.results.report import arms_of

FIRST, SHORT = 10, 200
ARM_NAMES = {
    "teacher": "teacher, with the prompt",
    "base": "base, without",
    "base_prompted": "base, with the prompt",
    "student": "student, without",
    "student_prompted": "student, with the prompt",
}


def markdown(report: Mapping[str, Any]) -> str:
    """Return the report as a Markdown page; names that come from the task are shown as code."""
    n, tokens, seconds = report["n"], report["tokens"], report["seconds"]
    lines = [
        f"# {code(report['task'])}: {code(report['student'])} distilled from {code(report['teacher'])}",
        "",
        verdict(report),
        "",
        "| arm | agreement with the teacher | accuracy against the reference |",
        "|---|---|---|",
    ]
    for arm, figures in arms_of(report):
        lines.append(f"| {ARM_NAMES[arm]} | {figure(figures['agreement'])} | {figure(figures['accuracy'])} |")
    lines += [
        "",
        f"Recovery in {report['recovery_in']}: {figure(report['recovery'])}. "
        f"{n['train']:,} examples trained, {n['eval']:,} held out, {n['rejected']:,} of the teacher's answers rejected "
        f"({n['eval_rejected']:,} of them held out: left out of every agreement, wrong in accuracy).",
        "",
        grouped(report),
        "",
        *([" ".join(judgement(report["judge"])), ""] if report["judge"] else []),
        f"A call costs {tokens['prompt_teacher']:,.0f} input tokens with the prompt and {tokens['prompt_student']:,.0f} "
        f"without: {tokens['saved_per_call']:,.0f} are saved.",
        "",
        f"Cost: {cost_of_stages(report['cost'])} {pay_back(report['cost'])}",
        "",
        *((f"{kept(report)}.", "") if report.get("remote") else ()),
        "| slice | n | student's agreement | student's accuracy | teacher's accuracy |",
        "|---|---|---|---|---|",
    ]
    student, teacher = report["arms"]["student"]["slices"], report["arms"]["teacher"]["slices"]
    for name, figures in student.items():
        lines.append(
            f"| {code(name)} | {figures['agreement']['n']} | {figure(figures['agreement'])} | "
            f"{figure(figures['accuracy'])} | {figure(teacher[name]['accuracy'])} |"
        )
    lines += ["", *_disagreements(report), "", *_probes(report)]
    stages = ", ".join(f"{stage} {spent:,.0f} s" for stage, spent in seconds.items())
    lines += ["", f"Time: {stages}.", ""]
    return "\n".join(lines)


def _disagreements(report: Mapping[str, Any]) -> list[str]:
    """Return how many disagreements there are, and the first of them."""
    found = report["disagreements"]
    if not found["n"]:
        return ["The student agrees on every held-out query that has a usable answer of the teacher."]
    lines = [f"{found['n']:,} disagreements; the first of them, from the worst slices (more in report.html):", ""]
    lines += ["| query | teacher | student | reference |", "|---|---|---|---|"]
    for row in found["rows"][:FIRST]:
        texts = (row["query"], row["teacher"], row["student"]["response"], row["reference"])
        lines.append("| " + " | ".join("–" if text is None else code(text[:SHORT]) for text in texts) + " |")
    return lines


def _probes(report: Mapping[str, Any]) -> list[str]:
    """Return a list of what the probes found."""
    return [f"- {name}{f' **({state})**' if state else ''}: {said}" for name, state, said in sentences(report)]


def verdict(report: Mapping[str, Any]) -> str:
    """Return the outcome in one sentence."""
    student, base = (report["arms"][arm]["agreement"]["value"] for arm in ("student", "base"))
    if student is None or base is None:
        return "No held-out query has a usable answer of the teacher, so there is nothing to compare."
    raised, always = alarms(report), _commonest(report)
    warning = f" Alarm: {', '.join(raised)}." if raised else ""
    if always is not None and always >= student:
        warning = f" To give the teacher's commonest answer always would agree on {always:.1%}.{warning}"
    return (
        f"Without the prompt the student agrees with the teacher on {student:.1%} of the held-out queries; "
        f"before training it was {base:.1%}.{warning}"
    )


def _commonest(report: Mapping[str, Any]) -> float | None:
    """Return the share of the teacher's commonest answer among the held-out ones; None where answers are no labels."""
    if not report["confusions"]:
        return None
    counts: Counter[str] = Counter()
    for row in report["confusions"]["rows"]:
        counts[row["teacher"]] += row["n"]
    return max(counts.values()) / counts.total() if counts else None


def judgement(found: Mapping[str, Any]) -> list[str]:
    """Return what a judge model says, a sentence an arm, and whether the order of the answers decided."""
    lines = [f"Judged by {found['judge']}, each pair of answers in both orders:"]
    for arm, said in found["arms"].items():
        counts = (
            f"{said['identical']:,} identical, {said['same']:,} the same in substance, {said['better']:,} better, "
            f"{said['worse']:,} worse, {said['undecided']:,} undecided (counted half), {said['rejected']:,} rejected"
        )
        unreadable = f", {said['unreadable']:,} unreadable verdicts left out" if said["unreadable"] else ""
        good = said["as_good"]
        lines.append(
            f"{ARM_NAMES[arm]}: at least as good as the teacher's answer on {figure(good)} of {good['n']:,} queries: "
            f"{counts}{unreadable}."
        )
    order = found["order"]
    preferred = order["first"] + order["second"]
    if preferred:
        leans = "more than chance explains" if order["p"] < SIGNIFICANCE else "no more than chance explains"
        lines.append(
            f"Of {preferred:,} pairs it preferred the same place in both orders, {order['first']:,} times the first: {leans}."
        )
    return lines


def cost_of_stages(cost: Mapping[str, Any]) -> str:
    """Return what each stage takes, in money where there is a price, and in tokens."""
    parts = []
    for stage in STAGES:
        row = cost[stage]
        tokens = (
            f"{row['sequence_tokens']:,} tokens"
            if stage == "train"
            else f"{row['prompt_tokens']:,} input tokens and {row['sampled_tokens']:,} of answers"
        )
        parts.append(f"{stage} {usd(row['usd'])} ({tokens})" if row["usd"] else f"{stage} {tokens}")
    if cost["usd"] is None:
        unknown = " and ".join(side for side, prices in cost["prices"].items() if prices is None)
        return f"{', '.join(parts)}; in money it is not known, for want of a price of the {unknown}."
    return f"{', '.join(parts)}; {usd(cost['usd']) if cost['usd'] else 'no money'} in all."


def pay_back(cost: Mapping[str, Any]) -> str:
    """Return in one sentence when the run has paid for itself."""
    calls = cost["break_even_calls"]
    if calls is None:
        nothing = "no money" if cost["break_even_in"] == "usd" else "no tokens"
        return f"A call without the prompt saves {nothing}, so the run does not pay for itself."
    if cost["break_even_in"] == "usd":
        saved = usd(cost["saved_usd_per_call"] * MILLION)
        return f"A million calls without the prompt save {saved}: the run has paid for itself after {calls:,}."
    return f"In tokens, the run took as many as {calls:,} calls without the prompt save."


def kept(report: Mapping[str, Any]) -> str:
    """Return where a student that a service trained can be asked, and how its adapter compares to it."""
    note = report["remote"]
    if note["checked"]:
        return (
            "The student is on this machine too: its log-probabilities differ from the service's by "
            f"{note['difference']:.2g} nats a token on {note['examples']} held-out examples (tolerance {note['tolerance']:g})"
        )
    return f"The student is asked on the service, its adapter is unchecked: {code(str(note['reason']))}"


def recovery_note(report: Mapping[str, Any]) -> str:
    """Return what the recovery is, or why it or its interval is missing, without a full stop."""
    recovery, by = report["recovery"], report["recovery_in"]
    if recovery["value"] is None:
        return "undefined, because the teacher is no better than the base"
    if recovery["low"] is None:
        return f"no interval: it needs {MIN_N} queries and a teacher {100 * MIN_GAP:.0f} points better than the base in {by}"
    return f"95 % interval {recovery['low']:.1%} to {recovery['high']:.1%} of the way from base to teacher"


def grouped(report: Mapping[str, Any]) -> str:
    """Return in one sentence how many queries are kept on one side of the split."""
    groups = report["groups"]
    if not groups["groups"]:
        return "No query is a near-duplicate of another, and no group is named: each is split by itself."
    together = "1 group" if groups["groups"] == 1 else f"{groups['groups']:,} groups"
    return (
        f"{groups['queries']:,} queries in {together} of near-duplicates or of the task's own, the largest "
        f"of {groups['largest']:,}, are kept on one side of the split."
    )


def figure(value: Mapping[str, Any] | None) -> str:
    """Return a figure with its interval, such as "0.970 (0.951 to 0.982)", or a dash where it is undefined."""
    if value is None or value["value"] is None:
        return "–"
    interval = "" if value["low"] is None else f" ({value['low']:.3f} to {value['high']:.3f})"
    return f"{value['value']:.3f}{interval}"


def code(text: str) -> str:
    """Return a name as inline code that can't break out of its cell."""
    return (
        "`"
        + "".join(char if char.isprintable() and char not in "`|" else "\N{REPLACEMENT CHARACTER}" for char in text)
        + "`"
    )
