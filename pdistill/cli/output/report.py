"""A report on standard output."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pdistill.cli.escape import json_text, one_line
from pdistill.cli.output.tables import table_of, text_of
from pdistill.core.numerics.estimates import Estimate
from pdistill.core.probes.findings import sentences
from pdistill.core.results.headline import headline
from pdistill.core.results.markdown import (
    ARM_NAMES,
    PARENTHESES,
    agreement_of,
    break_even,
    columns,
    cost_of_stages,
    grouped,
    ignoring_form,
    interval,
    judgement,
    recovery_of,
    remote_student,
    shipping,
)
from pdistill.core.results.report import FEW, Fields, Report

if TYPE_CHECKING:
    from rich.table import Table

PROBE_STYLES = {"alarm": "bold red"}


def show(row: dict[str, Any], directory: Path, as_json: bool) -> None:
    """Write a report to standard output, as text or as JSON.

    Args:
        row: what report.json holds.
    """
    if as_json:
        click.echo(json_text(row, indent=2))
        return
    from rich.text import Text

    from pdistill.cli.output.console import output
    from pdistill.core.results.reporting import report_from

    console, report = output(), report_from(row)
    title = f"{report.task}: student {report.student}, teacher {report.teacher}"
    console.print(Text(one_line(title), style="bold"))
    console.print(Text(headline(report), style="bold"))
    for line in shipping(report.verdict):
        console.print(Text(one_line(line)))
    console.print()
    console.print(_arms(report))
    console.print()
    for line in _notes(report):
        console.print(Text(line))
    if report.fields:
        console.print()
        console.print(_fields(report.fields))
    if report.arms["student"].slices:
        console.print()
        console.print(_slices(report))
        console.print(
            Text(
                f"* fewer than {FEW} queries, so the interval is wide; intervals for accuracy are in report.md and report.html",
                "dim",
            )
        )
        for name in report.worse_slices:
            console.print(Text(f"Significantly worse than the rest: {one_line(name)}", "bold"))
    for name, state, finding in sentences(report.probes):
        console.print()
        console.print(
            Text(f"Probe {name}{f' ({state})' if state else ''}: {one_line(finding)}", PROBE_STYLES.get(state, ""))
        )
    console.print()
    for line in _costs(report):
        console.print(Text(line))
    console.print()
    place = one_line(shlex.quote(str(directory)))
    disagreements = report.disagreements.n
    if disagreements:
        queries = "1 query" if disagreements == 1 else f"{disagreements:,} queries"
        console.print(Text(f"The student disagrees with the teacher on {queries}; see report.html."))
    console.print(Text(f"Saved in {place}: report.html, report.md and report.json."))
    console.print(Text(f"Try the student: pdistill sample {place}", style="bold"))


def _arms(report: Report) -> "Table":
    agreement, accuracy = (name.replace(" with", "\nwith").replace(" against", "\nagainst") for name in columns(report))
    table = table_of("arm", agreement, accuracy)
    for arm, metrics in report.arms.items():
        style = "bold green" if arm == "student" else ""
        table.add_row(ARM_NAMES[arm], agreement_of(report, arm), interval(metrics.accuracy), style=style)
    agreed, right = report.arms["student"].agreement, report.arms["student"].accuracy
    rejected = f" ({1 - agreed.n / right.n:.1%} rejected)" if right and right.n else ""
    table.add_section()
    table.add_row("held-out queries", f"{agreed.n:,}{rejected}", f"{right.n:,}" if right else "–")
    return table


def _notes(report: Report) -> list[str]:
    n = report.n
    answered = n.train + n.eval + n.rejected
    reasons = ", ".join(f"{count:,} {one_line(reason)}" for reason, count in report.rejections.items())
    notes = [
        f"Recovery in {report.recovery_in}, (student - base) / (teacher - base): {recovery_of(report)}.",
        "The teacher decodes greedily, so its agreement with itself is 1 by definition."
        if report.greedy_teacher
        else "The teacher's agreement with itself compares a second sample with the first.",
        f"Trained on {n.train:,} examples; {n.rejected:,} of {answered:,} teacher answers were rejected"
        + (f": {reasons}." if reasons else "."),
        grouped(report),
    ]
    if note := ignoring_form(report):
        notes.insert(0, note)
    if report.arms["student"].agreement.n >= FEW:
        notes.insert(0, PARENTHESES)
    if n.eval_rejected:
        held_out = n.eval + n.eval_rejected
        notes.append(
            f"Agreement leaves out the {n.eval_rejected:,} of {held_out:,} held-out queries "
            f"({n.eval_rejected / held_out:.1%}) whose teacher answer was rejected; accuracy counts them as wrong."
        )
    if report.same_model:
        notes.append("Base and teacher are the same model, so the prompted base reproduces the teacher's answers.")
    if report.judge:
        notes += map(one_line, judgement(report.judge))
    if report.remote:
        notes.append(one_line(f"{remote_student(report)}."))
    return notes


def _fields(fields: Fields) -> "Table":
    table = table_of("field", "n", "equal to\nthe teacher's")
    for name, equal in fields.by_name.items():
        table.add_row(text_of(name), f"{equal.n:,}", interval(equal))
    return table


def _slices(report: Report) -> "Table":
    table = table_of("slice", "n", "student's\nagreement", "student's\naccuracy", "teacher's\naccuracy")
    teacher = report.arms["teacher"].slices
    for name, metrics in report.arms["student"].slices.items():
        n = (metrics.accuracy or metrics.agreement).n
        table.add_row(
            text_of(name),
            f"{n:,}*" if n < FEW else f"{n:,} ",
            interval(metrics.agreement),
            _value(metrics.accuracy),
            _value(teacher[name].accuracy),
            style="dim" if n < FEW else "",
        )
    return table


def _costs(report: Report) -> list[str]:
    tokens, seconds = report.tokens, report.seconds
    share = f" ({tokens.saved_per_call / tokens.prompt_teacher:.0%})" if tokens.prompt_teacher else ""
    return [
        f"Input tokens per call: {tokens.prompt_teacher:,.0f} with the prompt, {tokens.prompt_student:,.0f} without; "
        f"{tokens.saved_per_call:,.0f} saved{share}.",
        f"Cost: {cost_of_stages(report.cost)}",
        break_even(report.cost),
        f"Time: generate {seconds.generate:,.0f} s, train {seconds.train:,.0f} s, evaluate {seconds.evaluate:,.0f} s; "
        f"{seconds.generate + seconds.train + seconds.evaluate:,.0f} s in total.",
    ]


def _value(estimate: Estimate | None) -> str:
    return "–" if estimate is None or estimate.value is None else f"{estimate.value:.3f}"
