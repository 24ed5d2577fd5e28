"""What `pdistill report RUN RUN` shows: two runs side by side."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from pdistill.cli.escape import json_text, one_line
from pdistill.cli.report import table_of
from pdistill.core.numerics.statistics import SIGNIFICANCE
from pdistill.core.results.markdown import ARM_NAMES
from pdistill.core.results.report import FEW

if TYPE_CHECKING:
    from rich.table import Table

FIRST = 10
LONGEST = 60
HASH = 12


def show(compared: Mapping[str, Any], as_json: bool) -> None:
    """Write a comparison to standard output, for people or as JSON."""
    if as_json:
        click.echo(json_text(compared, indent=2))
        return
    from rich.text import Text

    from pdistill.cli.console import output

    console = output()
    for side, run in compared["runs"].items():
        title = f"{side.upper()}  {run['path']}: {run['student']} distilled from {run['teacher']}"
        console.print(Text(one_line(title), style="bold"))
    console.print(Text(verdict(compared), style="bold"))
    for by in ("agreement", "accuracy"):
        if compared["arms"]["student"][by] is not None:
            console.print()
            console.print(_arms(compared, by))
    console.print()
    for line in _notes(compared):
        console.print(Text(line))
    if compared["slices"]:
        console.print()
        console.print(_slices(compared))
        console.print(Text(_on_slices(compared), "dim"))
    if compared["options"]:
        console.print()
        console.print(_options(compared))
    console.print()
    for line in _changed(compared):
        console.print(Text(line))


def verdict(compared: Mapping[str, Any]) -> str:
    """Return the outcome in one sentence."""
    figures = compared["arms"]["student"]["agreement"]
    gain = figures["difference"]
    if gain["value"] is None:
        return "No query that both held out has a usable answer of both teachers, so there is nothing to compare."
    values = f"{figures['b']['value']:.1%} in B against {figures['a']['value']:.1%} in A"
    if gain["low"] <= 0 <= gain["high"]:
        told = "no difference that chance would not explain"
    else:
        told = "more than chance explains"
    return f"The student agrees with its teacher on {values}: {points(gain)} points, {told}."


def points(gain: Mapping[str, Any]) -> str:
    """Return a difference in points of 100 with its interval, such as "+1.2 (-0.3 to +2.5)"."""
    if gain["value"] is None:
        return "–"
    value, low, high = (f"{100 * gain[key]:+.1f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _arms(compared: Mapping[str, Any], by: str) -> "Table":
    against = "with the own teacher" if by == "agreement" else "against the reference"
    table = table_of(f"{by}\n{against}", "n", "A", "B", "B less A,\nin points")
    for arm, named in ARM_NAMES.items():
        table.add_row(named, *_row(compared["arms"][arm][by]), style="bold green" if arm == "student" else "")
    return table


def _row(figures: Mapping[str, Any] | None) -> tuple[str, str, str, str]:
    if figures is None:
        return "–", "–", "–", "–"
    a, b = ("–" if figures[side]["value"] is None else f"{figures[side]['value']:.3f}" for side in ("a", "b"))
    return f"{figures['difference']['n']:,}", a, b, points(figures["difference"])


def _notes(compared: Mapping[str, Any]) -> Iterator[str]:
    held_out, differ = compared["held_out"], compared["targets_differ"]
    yield (
        f"All of that is of the {held_out['shared']:,} queries that both held out (A {held_out['a']:,}, B "
        f"{held_out['b']:,}); each interval holds 95 % and is paired, query by query."
    )
    if differ:
        yield (
            f"On {differ:,} of them the two students were to learn different answers, so that the agreements are with "
            "different teachers."
        )
    a, b = (
        "undefined" if found["value"] is None else f"{found['value']:.3f}" for found in compared["recovery"].values()
    )
    yield f"Recovery in {compared['recovery_in']}: A {a}, B {b}."
    for key, what in (("prompt_student", "input tokens a call"), ("prompt_teacher", "with the prompt")):
        a, b = (f"{run['tokens'][key]:,.0f}" for run in compared["runs"].values())
        if a != b:
            yield f"{what[0].upper()}{what[1:]}: A {a}, B {b}."


def _slices(compared: Mapping[str, Any]) -> "Table":
    table = table_of("slice", "n", "A", "B", "B less A,\nin points", "answers\nchanged")
    for name, found in compared["slices"].items():
        n = found["n"]
        _, a, b, gain = _row(found["agreement"])
        moved = found["p"] < SIGNIFICANCE
        table.add_row(
            _text(name),
            f"{n:,} few" if n < FEW else f"{n:,}",
            *(a, b, gain),
            f"{found['changed']:,}",
            style="bold" if moved else "dim" if n < FEW else "",
        )
    return table


def _on_slices(compared: Mapping[str, Any]) -> str:
    moved = [one_line(name) for name, found in compared["slices"].items() if found["p"] < SIGNIFICANCE]
    found = f"changed by more than chance: {', '.join(moved)}" if moved else "none changed by more than chance"
    return (
        f"the student's agreement; of {len(compared['slices']):,} slices some differ by chance: {found} (McNemar's exact "
        f"test, corrected for their number, below 5 %); few: below {FEW} queries a figure says little"
    )


def _options(compared: Mapping[str, Any]) -> "Table":
    table = table_of("made with", "A", "B")
    for column in table.columns[1:]:
        column.no_wrap = False
    for row in compared["options"]:
        table.add_row(_text(row["name"]), *(_text(_shown(row["name"], row[side])) for side in ("a", "b")))
    return table


def _shown(name: str, value: Any) -> str:
    if value is None or value in ([], {}):
        return "–"
    return str(value)[:HASH] if name.startswith("hashes.") else str(value)


def _changed(compared: Mapping[str, Any]) -> Iterator[str]:
    changed = compared["changed"]
    if not changed["n"]:
        yield "The two students give the same answer to every query."
        return
    shown = changed["rows"][:FIRST]
    which = "" if len(shown) == changed["n"] else f"; the first {len(shown)}, what lost agreement before what won it"
    yield f"{changed['n']:,} answers differ{which}:"
    for row in shown:
        yield f"  {_short(row['query'])}: A {_answer(row['a'])}, B {_answer(row['b'])}{_right(row)}"
    if which:
        yield "More of them: the same command with --json."


def _answer(side: Mapping[str, Any]) -> str:
    return f"{_short(side['response'])}{' (rejected)' if side['rejected'] else ''}"


def _right(row: Mapping[str, Any]) -> str:
    if row["reference"] is not None:
        return f"; reference {_short(row['reference'])}"
    a, b = (row[side]["teacher"] for side in ("a", "b"))
    return "" if a is None else f"; teacher {_short(a)}" if a == b else ""


def _short(text: str) -> str:
    line = one_line(text.strip())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _text(name: str) -> Any:
    from rich.text import Text

    return Text(one_line(name))
