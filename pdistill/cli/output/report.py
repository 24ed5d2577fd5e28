"""A report on standard output."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pdistill.cli.escape import json_text, one_line
from pdistill.cli.output.tables import table_of
from pdistill.core.probes.findings import sentences
from pdistill.core.results.markdown import (
    ARM_NAMES,
    cost_of_stages,
    figure,
    grouped,
    judgement,
    kept,
    pay_back,
    recovery_note,
    verdict,
)
from pdistill.core.results.report import FEW, arms_of

if TYPE_CHECKING:
    from rich.table import Table

PROBE_STYLES = {"alarm": "bold red"}


def show(report: Mapping[str, Any], directory: Path, as_json: bool) -> None:
    """Write a report to standard output, for people or as JSON."""
    if as_json:
        click.echo(json_text(report, indent=2))
        return
    from rich.text import Text

    from pdistill.cli.output.console import output

    console = output()
    title = f"{report['task']}: {report['student']} distilled from {report['teacher']}"
    console.print(Text(one_line(title), style="bold"))
    console.print(Text(verdict(report), style="bold"))
    console.print()
    console.print(_arms(report))
    console.print()
    for line in _notes(report):
        console.print(Text(line))
    if report["arms"]["student"]["slices"]:
        console.print()
        console.print(_slices(report))
        console.print(
            Text(f"few: below {FEW} queries a figure says little; the intervals of accuracy are in report.html", "dim")
        )
        for name in report["worse_slices"]:
            console.print(Text(f"Worse than the rest, by more than chance: {one_line(name)}", "bold"))
    for name, state, said in sentences(report):
        console.print()
        console.print(
            Text(f"Probe {name}{f' ({state})' if state else ''}: {one_line(said)}", PROBE_STYLES.get(state, ""))
        )
    console.print()
    for line in _costs(report):
        console.print(Text(line))
    console.print()
    place = one_line(shlex.quote(str(directory)))
    disagreements = report["disagreements"]["n"]
    if disagreements:
        console.print(Text(f"{disagreements:,} disagreements with the teacher: read them in report.html."))
    console.print(Text(f"The run stands in {place}; the same in report.html, report.md and report.json."))
    console.print(Text(f"Ask the student: pdistill sample {place}", style="bold"))


def _arms(report: Mapping[str, Any]) -> "Table":
    table = table_of("arm", "agreement\nwith the teacher", "accuracy\nagainst the reference")
    for arm, figures in arms_of(report):
        style = "bold green" if arm == "student" else ""
        table.add_row(ARM_NAMES[arm], figure(figures["agreement"]), figure(figures["accuracy"]), style=style)
    agreed, right = (report["arms"]["student"][by] for by in ("agreement", "accuracy"))
    rejected = f", {1 - agreed['n'] / right['n']:.1%} rejected" if right and right["n"] else ""
    table.add_section()
    table.add_row("held-out queries", f"n {agreed['n']:,}{rejected}", f"n {right['n']:,}" if right else "–")
    return table


def _notes(report: Mapping[str, Any]) -> list[str]:
    n = report["n"]
    recovery = recovery_note(report)
    if report["recovery"]["value"] is not None:
        missing = f" ({recovery})" if report["recovery"]["low"] is None else ""
        recovery = f"{figure(report['recovery'])}{missing}, which is (student - base) / (teacher - base)"
    answered = n["train"] + n["eval"] + n["rejected"]
    reasons = ", ".join(f"{count:,} {one_line(reason)}" for reason, count in report["rejections"].items())
    notes = [
        f"Recovery in {report['recovery_in']}: {recovery}.",
        "The teacher's agreement with itself is 1 by definition: it answers greedily."
        if report["greedy_teacher"]
        else "The teacher's agreement with itself is that of a second draw with the first.",
        f"{n['train']:,} examples trained; {n['rejected']:,} of {answered:,} answers of the teacher rejected"
        + (f": {reasons}." if reasons else "."),
        grouped(report),
    ]
    if n["eval_rejected"]:
        held_out = n["eval"] + n["eval_rejected"]
        notes.append(
            f"Every agreement leaves out the {n['eval_rejected']:,} of {held_out:,} held-out queries "
            f"({n['eval_rejected'] / held_out:.1%}) whose teacher answer was rejected; in accuracy they count as wrong."
        )
    if report["same_model"]:
        notes.append("The base is the teacher's own model, so with the prompt it gives the teacher's answers.")
    if report.get("judge"):
        notes += map(one_line, judgement(report["judge"]))
    if report.get("remote"):
        notes.append(one_line(f"{kept(report)}."))
    return notes


def _slices(report: Mapping[str, Any]) -> "Table":
    table = table_of("slice", "n", "student's\nagreement", "student's\naccuracy", "teacher's\naccuracy")
    teacher = report["arms"]["teacher"]["slices"]
    for name, figures in report["arms"]["student"]["slices"].items():
        n = (figures["accuracy"] or figures["agreement"])["n"]
        table.add_row(
            _text(name),
            f"{n:,} few" if n < FEW else f"{n:,}",
            figure(figures["agreement"]),
            _value(figures["accuracy"]),
            _value(teacher[name]["accuracy"]),
            style="dim" if n < FEW else "",
        )
    return table


def _costs(report: Mapping[str, Any]) -> list[str]:
    tokens, seconds = report["tokens"], report["seconds"]
    share = f" ({tokens['saved_per_call'] / tokens['prompt_teacher']:.0%})" if tokens["prompt_teacher"] else ""
    spent = ", ".join(f"{stage} {value:,.0f}" for stage, value in seconds.items())
    return [
        f"Input tokens a call: {tokens['prompt_teacher']:,.0f} with the prompt, {tokens['prompt_student']:,.0f} without; "
        f"{tokens['saved_per_call']:,.0f} saved{share}.",
        f"Cost: {cost_of_stages(report['cost'])}",
        pay_back(report["cost"]),
        f"Seconds: {spent}; {sum(seconds.values()):,.0f} in all.",
    ]


def _text(name: str) -> Any:
    from rich.text import Text

    return Text(one_line(name))


def _value(value: Mapping[str, Any] | None) -> str:
    return "–" if value is None or value["value"] is None else f"{value['value']:.3f}"
