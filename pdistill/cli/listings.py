"""`pdistill tasks`, `pdistill backends`, `pdistill plugins`: what is installed."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import MISSING, asdict, fields
from typing import Any

import click

from pdistill.cli import completion
from pdistill.cli.escape import json_text, lines, one_line
from pdistill.cli.options import as_json
from pdistill.core.contract.options import build
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.queries import numbered
from pdistill.core.contract.registry import Entry


def warn_of_plugins() -> None:
    """Say on standard error which plugins are skipped."""
    for problem in installed().problems:
        click.echo(f"warning: {one_line(problem)}", err=True)


@click.command()
@click.argument("name", required=False, shell_complete=completion.tasks)
@as_json
def tasks(name: str | None, as_json: bool) -> None:
    """List the tasks, or show one.

    With NAME: the task's prompt, labels, options, and how many queries it has, by slice.
    """
    warn_of_plugins()
    if name is not None:
        click.echo(_task(name, as_json))
    elif as_json:
        click.echo(json_text([_entry(entry) for entry in installed().tasks]))
    else:
        click.echo(_table((entry.name, entry.summary) for entry in installed().tasks))
        click.echo("\nMore of one: pdistill tasks NAME")


@click.command()
@as_json
def backends(as_json: bool) -> None:
    """List the backends and their options.

    An option is given as -B KEY=VALUE, or for one side as -B teacher.KEY=VALUE.
    """
    warn_of_plugins()
    if as_json:
        click.echo(json_text([_entry(entry) for entry in installed().backends]))
        return
    for entry in installed().backends:
        click.echo(f"{entry.name}  {one_line(entry.summary)}")
        click.echo(_options(entry, "-B"), nl=False)


@click.command()
@as_json
def plugins(as_json: bool) -> None:
    """List the plugins, and where each comes from.

    A plugin is a module that an installed package names under its entry points of group "pdistill".
    """
    found = installed().plugins
    if as_json:
        click.echo(json_text([asdict(plugin) for plugin in found]))
        return
    rows = (
        (p.name, p.module, f"{p.distribution} {p.version}", f"skipped: {p.problem}" if p.problem else "") for p in found
    )
    click.echo(_table(rows))


def _task(name: str, as_json: bool) -> str:
    entry = installed().tasks[name]
    task = entry.create(build(entry.options, {}, f"task {name}"))
    count, slices = 0, Counter[str]()
    for query in numbered(task.queries):
        count += 1
        slices.update(task.slices(query))
    row = {
        **_entry(entry),
        "prompt": task.prompt,
        "labels": list(task.labels) if task.labels is not None else None,
        "queries": count,
        "slices": dict(sorted(slices.items())),
    }
    if as_json:
        return json_text(row)
    labels = f"labels: {one_line(' '.join(task.labels))}\n" if task.labels is not None else ""
    sliced = _table((slice_name, f"{n:,}") for slice_name, n in row["slices"].items())
    return (
        f"{name}  {one_line(entry.summary)}\n{_options(entry, '-T')}{labels}queries: {count:,}\n{sliced}\n\n"
        f"prompt, {len(task.prompt):,} characters:\n\n{lines(task.prompt)}"
    )


def _entry(entry: Entry[Any]) -> dict[str, Any]:
    return {"name": entry.name, "summary": entry.summary, "plugin": entry.plugin, "options": _defaults(entry)}


def _options(entry: Entry[Any], flag: str) -> str:
    defaults = _defaults(entry).items()
    return "".join(
        f"    {flag} {one_line(key)}={'' if default is None else one_line(default)}\n" for key, default in defaults
    )


def _defaults(entry: Entry[Any]) -> dict[str, str | None]:
    """Return the keys with their defaults as one would write them; None: there is none."""
    found: dict[str, str | None] = {}
    for item in fields(entry.options):
        value = item.default_factory() if item.default_factory is not MISSING else item.default
        found[item.name] = (
            None
            if value is None or value is MISSING
            else ",".join(map(str, value))
            if isinstance(value, tuple)
            else str(value)
        )
    return found


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    """Return the rows in columns."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
