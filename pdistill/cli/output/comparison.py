"""The output of `pdistill report RUN RUN`: two runs side by side."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from pdistill.cli.escape import json_text, one_line
from pdistill.cli.output.tables import table_of, text_of
from pdistill.core.numerics.estimates import Estimate
from pdistill.core.numerics.statistics import SIGNIFICANCE
from pdistill.core.results.comparison import ChangedAnswer, ComparedAnswer, ComparedEstimate, Comparison
from pdistill.core.results.markdown import ARM_NAMES
from pdistill.core.results.metrics import BY, By
from pdistill.core.results.report import FEW

if TYPE_CHECKING:
    from rich.table import Table

FIRST = 10
LONGEST = 60
HASH = 12
DIFFERENCE = "B - A, in\npercentage points"


def show(compared: Comparison, as_json: bool) -> None:
    """Write a comparison to standard output, as text or as JSON."""
    if as_json:
        click.echo(json_text(asdict(compared), indent=2))
        return
    from rich.text import Text

    from pdistill.cli.output.console import output

    console = output()
    for letter, run in compared.runs.items():
        title = f"{letter}  {run.path}: student {run.student}, teacher {run.teacher}"
        console.print(Text(one_line(title), style="bold"))
    console.print(Text(verdict(compared.arms["student"].agreement), style="bold"))
    for by in BY:
        if compared.arms["student"].by(by) is not None:
            console.print()
            console.print(_arms(compared, by))
    console.print()
    for line in _notes(compared):
        console.print(Text(line))
    if compared.slices:
        console.print()
        console.print(_slices(compared))
        console.print(Text(_on_slices(compared), "dim"))
    if compared.options:
        console.print()
        console.print(_options(compared))
    console.print()
    for line in _changed(compared):
        console.print(Text(line))


def verdict(agreement: ComparedEstimate) -> str:
    """Return the outcome in one sentence.

    Args:
        agreement: the student's.
    """
    gain = agreement.difference
    if gain.low is None or gain.high is None:
        return "No shared held-out query has a usable answer from both teachers, so there is nothing to compare."
    not_ = "not " if gain.low <= 0 <= gain.high else ""
    return (
        f"The student's agreement with its teacher is {agreement.b.value:.1%} in B and {agreement.a.value:.1%} in A: "
        f"{points(gain)} percentage points, {not_}statistically significant."
    )


def points(gain: Estimate) -> str:
    """Return a difference in percentage points with its interval, such as "+1.2 (-0.3 to +2.5)"."""
    if gain.value is None or gain.low is None or gain.high is None:
        return "–"
    return f"{100 * gain.value:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _arms(compared: Comparison, by: By) -> "Table":
    against = "with its own teacher" if by == "agreement" else "against the reference"
    table = table_of(f"{by}\n{against}", "n", "A", "B", DIFFERENCE)
    for arm, name in ARM_NAMES.items():
        table.add_row(name, *_cells(compared.arms[arm].by(by)), style="bold green" if arm == "student" else "")
    return table


def _cells(compared: ComparedEstimate | None) -> tuple[str, str, str, str]:
    if compared is None:
        return "–", "–", "–", "–"
    a, b = ("–" if each.value is None else f"{each.value:.3f}" for each in (compared.a, compared.b))
    return f"{compared.difference.n:,}", a, b, points(compared.difference)


def _notes(compared: Comparison) -> Iterator[str]:
    held_out, differ = compared.held_out, compared.targets_differ
    yield (
        f"All metrics are computed on the {held_out.shared:,} queries held out in both runs (A {held_out.a:,}, B "
        f"{held_out.b:,}); 95% intervals, paired by query."
    )
    if differ:
        yield (
            f"On {differ:,} of them the training targets of the two students differ, so the two agreements are with different "
            "targets."
        )
    a, b = (
        "undefined" if recovery.value is None else f"{recovery.value:.3f}" for _, recovery in compared.recovery.items()
    )
    yield f"Recovery in {compared.recovery_in}: A {a}, B {b}."
    tokens = compared.runs.a.tokens, compared.runs.b.tokens
    without = [f"{each.prompt_student:,.0f}" for each in tokens]
    with_prompt = [f"{each.prompt_teacher:,.0f}" for each in tokens]
    for where, (a, b) in (("without the prompt", without), ("with the prompt", with_prompt)):
        if a != b:
            yield f"Input tokens per call {where}: A {a}, B {b}."


def _slices(compared: Comparison) -> "Table":
    table = table_of("slice", "n", "A", "B", DIFFERENCE, "answers\nchanged")
    for name, found in compared.slices.items():
        _, a, b, gain = _cells(found.agreement)
        table.add_row(
            text_of(name),
            f"{found.n:,}*" if found.n < FEW else f"{found.n:,} ",
            *(a, b, gain),
            f"{found.changed:,}",
            style="bold" if found.p < SIGNIFICANCE else "dim" if found.n < FEW else "",
        )
    return table


def _on_slices(compared: Comparison) -> str:
    moved = [one_line(name) for name, found in compared.slices.items() if found.p < SIGNIFICANCE]
    significant = f"significantly changed: {', '.join(moved)}" if moved else "no slice has changed significantly"
    return (
        f"The student's agreement by slice; {significant} (two-sided exact McNemar test on {len(compared.slices):,} slices, "
        f"false discovery rate controlled at 5%, Benjamini-Yekutieli). * fewer than {FEW} queries, so the interval is wide."
    )


def _options(compared: Comparison) -> "Table":
    table = table_of("option", "A", "B")
    for column in table.columns[1:]:
        column.no_wrap = False
    for row in compared.options:
        table.add_row(text_of(row.name), *(text_of(_shown(row.name, value)) for value in (row.a, row.b)))
    return table


def _shown(name: str, value: object) -> str:
    if value is None or value in ([], {}):
        return "–"
    return str(value)[:HASH] if name.startswith("hashes.") else str(value)


def _changed(compared: Comparison) -> Iterator[str]:
    changed = compared.changed
    if not changed.n:
        yield "The two students give the same answer to every query."
        return
    shown = changed.rows[:FIRST]
    which = "" if len(shown) == changed.n else f"; the {len(shown)} with the largest loss of agreement"
    yield f"{changed.n:,} answers differ{which}:"
    for row in shown:
        yield f"  {_short(row.query)}: A {_answer(row.a)}, B {_answer(row.b)}{_right(row)}"
    if which:
        yield "More of them: the same command with --json."


def _answer(answer: ComparedAnswer) -> str:
    return f"{_short(answer.response)}{' (rejected)' if answer.rejected else ''}"


def _right(row: ChangedAnswer) -> str:
    if row.reference is not None:
        return f"; reference {_short(row.reference)}"
    a, b = row.a.teacher, row.b.teacher
    return "" if a is None else f"; teacher {_short(a)}" if a == b else ""


def _short(text: str) -> str:
    line = one_line(text.strip())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
