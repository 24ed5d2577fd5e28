"""`pdistill tasks`, `pdistill backends`, `pdistill plugins`: the installed components."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Literal, get_args, get_origin

import click

from pdistill.cli import completion
from pdistill.cli.escape import json_text, lines, one_line
from pdistill.cli.options import as_json
from pdistill.cli.plugin_warnings import warn_of_plugins
from pdistill.core.contract.optionfields import Option, as_text, options_of
from pdistill.core.contract.options import build
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.queries import numbered
from pdistill.core.contract.registry import Entry

TYPES: Mapping[object, str] = {bool: "true|false", int: "integer", float: "number"}
WIDTH = 100


@click.command()
@click.argument("name", required=False, shell_complete=completion.tasks)
@as_json
def tasks(name: str | None, as_json: bool) -> None:
    """List the installed tasks, or show one.

    With NAME: the task's prompt, labels, options, and number of queries, by slice.
    """
    warn_of_plugins()
    if name is not None:
        click.echo(_task(name, as_json))
    elif as_json:
        click.echo(json_text([_entry(entry) for entry in installed().tasks]))
    else:
        click.echo(_table((entry.name, entry.summary) for entry in installed().tasks))
        click.echo("\nTo show one: pdistill tasks NAME")


@click.command()
@as_json
def backends(as_json: bool) -> None:
    """List the installed backends and their options.

    Set an option with -B KEY=VALUE, or for one model only with -B teacher.KEY=VALUE or -B student.KEY=VALUE.
    """
    warn_of_plugins()
    if as_json:
        click.echo(json_text([_entry(entry) for entry in installed().backends]))
        return
    for entry in installed().backends:
        click.echo(f"{entry.name}  {one_line(entry.summary)}")
        click.echo(_options(entry, "-B"))


@click.command()
@as_json
def plugins(as_json: bool) -> None:
    """List the installed plugins and their packages.

    A plugin is a module that an installed package names in its entry point group "pdistill".
    """
    all_plugins = installed().plugins
    if as_json:
        click.echo(json_text([asdict(plugin) for plugin in all_plugins]))
        return
    rows = (
        (p.name, p.module, f"{p.distribution} {p.version}", f"skipped: {p.problem}" if p.problem else "")
        for p in all_plugins
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
    defaults = {option.name: _default(option) for option in options_of(entry.options)}
    return {"name": entry.name, "summary": entry.summary, "plugin": entry.plugin, "options": defaults}


def _default(option: Option) -> str | None:
    """Return the default as one would type it; None if there is none."""
    if option.default is None:
        return None
    return as_text(option.default) if isinstance(option.default, list | tuple) else str(option.default)


def _options(entry: Entry[Any], flag: str) -> str:
    """Return one line per option, with its default, its help and its type."""
    formatter = click.HelpFormatter(max_width=WIDTH)
    formatter.indent()
    rows = [
        (
            one_line(f"{flag} {option.name}={'' if option.default is None else as_text(option.default)}"),
            one_line(f"{option.spec.help}{_unset(option)}  [{_type(option)}]".strip()),
        )
        for option in options_of(entry.options)
    ]
    if rows:
        formatter.write_dl(rows)
    return formatter.getvalue()


def _type(option: Option) -> str:
    """Return the type of an option in words, with its range."""
    if get_origin(option.type) is Literal:
        return "|".join(map(str, get_args(option.type)))
    if get_origin(option.type) is tuple:
        return "list: A,B,C"
    words = TYPES.get(option.type, "text")
    return f"{words}, {option.spec.bounds}" if option.spec.bounds else words


def _unset(option: Option) -> str:
    """Return what is used if an option without a default is left out."""
    return option.default_note if option.default is None else ""


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    """Return the rows in columns."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
