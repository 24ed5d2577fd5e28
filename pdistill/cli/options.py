"""The options that commands share, each defined once, and how they become a configuration."""

import sys
import tempfile
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import click

from pdistill.cli import completion
from pdistill.core.contract.likeness import Likeness
from pdistill.core.contract.options import parse_pairs
from pdistill.core.contract.prompts import Format
from pdistill.core.contract.targets import Select
from pdistill.core.setup.config import TRAIN_KEYS, Config, Objective, config_from
from pdistill.core.setup.configfile import read_config_file

Function = Callable[..., Any]

AT_LEAST_1 = click.IntRange(min=1)
ABOVE_0 = click.FloatRange(min=0, min_open=True)
FILE = click.Path(dir_okay=False)
FOLDER = click.Path(file_okay=False)
PAIRED = {"task_options": "-T", "backend_options": "-B", "columns": "--column"}
DEFAULTS = {item.name: item.default for item in fields(Config)}

student = click.option("--student", metavar="[BACKEND:]MODEL", help="Model that is trained; default: the teacher's.")
objective = click.option("--objective", type=click.Choice(get_args(Objective)), help="What the student is trained on.")
learning_rate = click.option(
    "--learning-rate", metavar="X", type=ABOVE_0, help="Of the first step; default: the model's own."
)
epochs = click.option(
    "--epochs", metavar="N", type=AT_LEAST_1, help="Passes over the examples; default: the model's own."
)
batch_size = click.option(
    "--batch-size", metavar="N", type=AT_LEAST_1, help="Examples a step; default: the model's own."
)
rank = click.option("--rank", metavar="N", type=AT_LEAST_1, help=f"Of the LoRA adapter; default: {DEFAULTS['rank']}.")
max_cost = click.option(
    "--max-cost", metavar="USD", type=ABOVE_0, help="What the run must not pass, all stages and interruptions together."
)
backend_options_now = click.option(
    "-B",
    "backend_options",
    metavar="[SIDE.]KEY=VALUE",
    multiple=True,
    help="Option of the backend that changes no row, such as a price.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output.")
the_run = click.argument("run", metavar="RUN", shell_complete=completion.runs)

TRAINING: list[Any] = [student, objective, learning_rate, epochs, batch_size, rank]

JOB: list[Any] = [
    click.option("--task", metavar="NAME", shell_complete=completion.tasks, help="Task; see pdistill tasks."),
    click.option(
        "--prompt",
        metavar="FILE|DIR",
        type=click.Path(),
        help="The prompt, instead of the task's own; or a folder of several, NAME.txt each.",
    ),
    click.option(
        "--queries",
        metavar="FILE",
        type=click.Path(dir_okay=False, allow_dash=True),
        help="Queries, .txt, .jsonl, .csv or .parquet, instead of the task's own; - is standard input.",
    ),
    click.option(
        "--column", "columns", metavar="KEY=NAME", multiple=True, help="The file's own name of query, reference or so."
    ),
    click.option("--labels", metavar="A,B,C", help="Answers that count, for --prompt and --queries without --task."),
    click.option(
        "--agreement",
        type=click.Choice(get_args(Likeness)),
        help="How answers that are no labels are compared, for --prompt and --queries without --task.",
    ),
    click.option("--pattern", metavar="REGEX", help="What all of an answer must match, instead of --labels."),
    click.option("--json-schema", metavar="FILE", type=FILE, help="JSON schema of the answers, instead of --labels."),
    click.option("--answer-after", metavar="TEXT", help="The answer is what follows the last TEXT of a response."),
    click.option("--keep-reasoning", is_flag=True, help="Train on the whole response; default: the answer alone."),
    click.option(
        "--constrain", is_flag=True, help="Let the teacher's decoding keep to the valid answers; where it can."
    ),
    click.option("--format", type=click.Choice(get_args(Format)), help="Chat messages or plain text, on both sides."),
    click.option("--student-prompt", metavar="FILE", type=FILE, help="What the student is asked with; holds {query}."),
    click.option("--stop", metavar="TEXT", multiple=True, help="Text that ends an answer; may be repeated."),
    click.option(
        "--backend",
        metavar="NAME",
        shell_complete=completion.backends,
        help=f"Who runs the models; default: {DEFAULTS['backend']}; see pdistill backends.",
    ),
    click.option("--teacher", metavar="[BACKEND:]MODEL", help="Model that answers under the prompt."),
    student,
    objective,
    click.option("--run-dir", metavar="DIR", type=FOLDER, help="The run's own folder; default: runs/TASK."),
    click.option("--config", metavar="FILE.toml", type=FILE, help="Options by name; those given here win."),
    click.option("--limit", metavar="N", type=AT_LEAST_1, help="Take the first N queries."),
    click.option("--seed", metavar="N", type=int, help=f"Of split, order and sampling; default: {DEFAULTS['seed']}."),
    click.option("-T", "task_options", metavar="KEY=VALUE", multiple=True, help="Option of the task."),
    click.option(
        "-B",
        "backend_options",
        metavar="[SIDE.]KEY=VALUE",
        multiple=True,
        help="Option of the backend, or of one side's.",
    ),
    click.option(
        "--temperature", metavar="X", type=click.FloatRange(min=0), help="Of the teacher's answers; default: 0, greedy."
    ),
    click.option(
        "--top-p",
        metavar="X",
        type=click.FloatRange(0, 1, min_open=True),
        help="Share of probability that is drawn from; default: 1.",
    ),
    click.option("--max-tokens", metavar="N", type=AT_LEAST_1, help="Longest answer; default: the task's."),
    click.option(
        "--samples", metavar="N", type=AT_LEAST_1, help="Teacher answers a query, of which one is learnt; default: 1."
    ),
    click.option("--select", type=click.Choice(get_args(Select)), help=f"Which one; default: {DEFAULTS['select']}."),
    click.option(
        "--min-confidence",
        metavar="X",
        type=click.FloatRange(0, 1, min_open=True),
        help="Don't train where a smaller share of the samples says what is learnt.",
    ),
    learning_rate,
    epochs,
    batch_size,
    rank,
    click.option("--from", "from_run", metavar="RUN", shell_complete=completion.runs, help="Reuse this run's answers."),
    click.option("--warm-start", is_flag=True, help="Train on from the student of --from, instead of anew."),
    max_cost,
    click.option(
        "--force",
        is_flag=True,
        help="Go on where the pre-flight, or most of the answers, say that there is nothing to learn.",
    ),
    click.option("--dry-run", is_flag=True, help="Show what would happen; open no model and write nothing."),
    as_json,
]


def given(options: list[Any]) -> Callable[[Function], Function]:
    """Return a decorator that gives a command these options, in their order."""

    def decorate(command: Function) -> Function:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def config_given(flags: Mapping[str, Any]) -> Config:
    """Return the configuration that the file named by `config` and the flags give; flags win.

    Raises:
        UsageError: the file can't be read; an unknown option, with the nearest; a value that won't do.
    """
    set_flags = {key: value for key, value in flags.items() if value is not None and value != () and value is not False}
    path = set_flags.pop("config", None)
    if set_flags.get("queries") == "-":
        set_flags["queries"] = standard_input()
    values = read_config_file(Path(path)) if path else {}
    for key, flag in PAIRED.items():
        set_flags[key] = {**values.get(key, {}), **parse_pairs(set_flags.get(key, ()), flag)}
    if "labels" in set_flags:
        set_flags["labels"] = labels_given(set_flags["labels"])
    if "from_run" in set_flags:
        set_flags["from_run"] = _run_path(set_flags["from_run"])
    return config_from({**values, **set_flags})


def training_given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the training that were given."""
    return {key: flags[key] for key in TRAIN_KEYS if flags.get(key) is not None}


def spending_given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limit and the backend options of a later stage."""
    return {"max_cost": flags["max_cost"], "backend_options": parse_pairs(flags["backend_options"], "-B")}


def labels_given(labels: str) -> tuple[str, ...]:
    """Return the labels that a flag lists."""
    return tuple(label.strip() for label in labels.split(","))


def standard_input() -> Path:
    """Return a file with what standard input holds; it is gone when the command ends."""
    content = sys.stdin.buffer.read()
    folder = click.get_current_context().with_resource(tempfile.TemporaryDirectory(prefix="pdistill-"))
    ending = "jsonl" if content.removeprefix(BOM_UTF8).lstrip().startswith(b"{") else "txt"
    path = Path(folder) / f"standard-input.{ending}"
    path.write_bytes(content)
    return path


def _run_path(name: str) -> Path:
    from pdistill.core.store.rundir import find_run

    return find_run(name).path
