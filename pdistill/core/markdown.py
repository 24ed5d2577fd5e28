"""The report as Markdown, and the sentences that it shares with the terminal."""

from collections.abc import Mapping
from typing import Any

from pdistill.core.cost import STAGES
from pdistill.core.prices import MILLION, usd
from pdistill.core.report import arms_of

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
        f"# {_code(report['task'])}: {_code(report['student'])} distilled from {_code(report['teacher'])}",
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
            f"| {_code(name)} | {figures['agreement']['n']} | {figure(figures['agreement'])} | "
            f"{figure(figures['accuracy'])} | {figure(teacher[name]['accuracy'])} |"
        )
    stages = ", ".join(f"{stage} {spent:,.0f} s" for stage, spent in seconds.items())
    lines += ["", f"Time: {stages}.", ""]
    return "\n".join(lines)


def verdict(report: Mapping[str, Any]) -> str:
    """Return the outcome in one sentence."""
    student, base = (report["arms"][arm]["agreement"]["value"] for arm in ("student", "base"))
    if student is None or base is None:
        return "No held-out query has a usable answer of the teacher, so there is nothing to compare."
    return (
        f"Without the prompt the student agrees with the teacher on {student:.1%} of the held-out queries; "
        f"before training it was {base:.1%}."
    )


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
    return f"The student is asked on the service, its adapter is unchecked: {_code(str(note['reason']))}"


def figure(value: Mapping[str, Any] | None) -> str:
    """Return a figure with its interval, such as "0.970 (0.951 to 0.982)", or a dash where it is undefined."""
    if value is None or value["value"] is None:
        return "–"
    interval = "" if value["low"] is None else f" ({value['low']:.3f} to {value['high']:.3f})"
    return f"{value['value']:.3f}{interval}"


def _code(text: str) -> str:
    """Return a name as inline code that can't break out of its cell."""
    return (
        "`"
        + "".join(char if char.isprintable() and char not in "`|" else "\N{REPLACEMENT CHARACTER}" for char in text)
        + "`"
    )
