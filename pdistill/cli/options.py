"""The flags of commands, made from the declarations of options, and how they become a configuration."""

import csv
import math
import re
import sys
import tempfile
from codecs import BOM_UTF8
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from pdistill.cli import completion
from pdistill.cli.sections import SectionedOption
from pdistill.core.contract.optionfields import Option
from pdistill.core.contract.options import parse_pairs
from pdistill.core.errors import UsageError
from pdistill.core.setup.config import COST, OPTIONS, RUN, TABLES, TRAIN_KEYS, Config, config_from
from pdistill.core.setup.configfile import read_config_file

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class FiniteRange(click.FloatRange):
    """A range of numbers; NaN, which click takes, is not in it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail with a usage error."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail("nan is not a number.", param, ctx)
        return number


AT_LEAST_1 = click.IntRange(1, 10**9)
ABOVE_0 = FiniteRange(0, 10**9, min_open=True)
FRACTION = FiniteRange(0, 1)
FILE = click.Path(dir_okay=False, allow_dash=True)
PATHS = {"DIR": click.Path(file_okay=False), "FILE|DIR": click.Path(), "RUN": None}
"""The types of paths that are not files, by metavar."""
METAVARS: Mapping[object, str] = {int: "N", float: "X", Path: "FILE"}
COMPLETIONS = {"task": completion.tasks, "backend": completion.backends, "from_run": completion.runs}
STANDARD_INPUT = {"queries": "; - is standard input"}
"""What the command line takes besides what the declaration says."""


def flags_of(options: Iterable[Option]) -> dict[str, Decorator]:
    """Return for each declared option, by name, a decorator that gives a command its flag."""
    return {option.name: _flag(option) for option in options}


def _flag(option: Option) -> Decorator:
    choices = get_args(option.type) if get_origin(option.type) is Literal else ()
    multiple = option.spec.repeatable or get_origin(option.type) is Mapping
    more = f"{STANDARD_INPUT.get(option.name, '')}{'; may be repeated' if multiple else ''}"
    return click.option(
        option.flag,
        option.name,
        cls=SectionedOption,
        section=option.spec.section,
        type=_flag_type(option),
        is_flag=True if option.type is bool else None,  # click reads False as a flag with an optional value
        multiple=multiple,
        metavar=option.spec.metavar or (None if choices else METAVARS.get(option.type)),
        help=f"{option.spec.help}{more}{option.default_note}.",
        shell_complete=COMPLETIONS.get(option.name),
    )


def _flag_type(option: Option) -> click.ParamType[Any] | None:
    spec = option.spec
    if get_origin(option.type) is Literal:
        return click.Choice(get_args(option.type))
    if option.type is float:
        lower = spec.minimum if spec.above is None else spec.above
        return FiniteRange(lower, spec.maximum, min_open=spec.above is not None)
    if option.type is int:
        lower, upper = (None if limit is None else int(limit) for limit in (spec.minimum, spec.maximum))
        return click.IntRange(lower, upper)
    return PATHS.get(spec.metavar, FILE) if option.type is Path else None


FLAGS = flags_of(OPTIONS)
PAIRED = {option.name: option.flag for option in OPTIONS if option.name in TABLES}

as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output.")
dry_run = click.option(
    "--dry-run",
    cls=SectionedOption,
    section=COST,
    is_flag=True,
    help="Show what would be done and what it would cost; load no model and write nothing.",
)
backend_options_now = click.option(
    "-B",
    "backend_options",
    metavar="[ROLE.]KEY=VALUE",
    multiple=True,
    help="Backend option that can't change an answer or a weight, such as a price.",
)
config_file = click.option(
    "--config",
    cls=SectionedOption,
    section=RUN,
    metavar="FILE.toml",
    type=FILE,
    help="Read options from a TOML file; flags take precedence.",
)
the_run = click.argument("run", metavar="RUN", shell_complete=completion.runs)

TRAINING = [FLAGS[name] for name in TRAIN_KEYS if name != "warm_start"]
"""What may still be chosen when the training begins."""
JOB = [*FLAGS.values(), config_file, dry_run, as_json]


def with_options(options: Sequence[Decorator]) -> Decorator:
    """Return a decorator that gives a command these options, in their order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def set_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that are set."""
    return {key: value for key, value in flags.items() if value is not None and value != () and value is not False}


def config_of_flags(flags: Mapping[str, Any]) -> Config:
    """Return the configuration from the flags and the file that `config` names; flags take precedence.

    Raises:
        UsageError: the file can't be read; an unknown option, with the nearest; an invalid value.
    """
    values = set_flags(flags)
    path = values.pop("config", None)
    from_file = read_config_file(Path(path)) if path else {}
    for key, flag in PAIRED.items():
        values[key] = {**from_file.get(key, {}), **parse_pairs(values.get(key, ()), flag)}
    if values.get("queries") == "-":
        values["queries"] = standard_input(values["columns"].values())
    if "labels" in values:
        values["labels"] = split_labels(values["labels"])
    if "from_run" in values:
        values["from_run"] = _run_path(values["from_run"])
    return config_from({**from_file, **values})


def training_options(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the training that are set."""
    return {key: flags[key] for key in TRAIN_KEYS if flags.get(key) is not None}


def spending_options(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spending limit and the backend options of a later stage."""
    return {"max_cost": flags["max_cost"], "backend_options": parse_pairs(flags["backend_options"], "-B")}


def split_labels(labels: str) -> tuple[str, ...]:
    """Return the labels that a flag lists, without whitespace around them."""
    return tuple(label.strip() for label in labels.split(","))


def standard_input(columns: Collection[str] = ()) -> Path:
    """Return a file with the content of standard input, named for its format; it is deleted when the command ends.

    Args:
        columns: the names of the columns that the user gives to a queries file.

    Raises:
        UsageError: it is a JSON array.
    """
    content = sys.stdin.buffer.read()
    folder = click.get_current_context().with_resource(tempfile.TemporaryDirectory(prefix="pdistill-"))
    path = Path(folder) / f"standard-input{_ending(content.removeprefix(BOM_UTF8).lstrip(), columns)}"
    path.write_bytes(content)
    return path


def _ending(content: bytes, columns: Collection[str]) -> str:
    """Return the ending of a file with this content: JSON objects, the CSV header of a queries file, or lines of text."""
    if content.startswith(b"{"):
        return ".jsonl"
    if re.match(rb"\[\s*\{", content):
        raise UsageError("standard input is a JSON array; write one object per line, such as with: jq -c '.[]'")
    head, *_ = content.decode("utf-8", "replace").splitlines() or [""]
    return ".csv" if {"query", "messages", *columns} & {*next(csv.reader([head]), ())} else ".txt"


def _run_path(name: str) -> Path:
    from pdistill.core.store.rundir import find_run

    return find_run(name).path
