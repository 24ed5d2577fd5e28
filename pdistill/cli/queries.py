"""`pdistill queries`: writes queries by a model, or takes them from logs of requests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import click

from pdistill.cli import completion
from pdistill.cli.options import (
    ABOVE_0,
    AT_LEAST_1,
    FILE,
    as_json,
    labels_given,
    standard_input,
)
from pdistill.core.contract.options import parse_pairs
from pdistill.core.contract.prompts import Format
from pdistill.core.errors import UsageError
from pdistill.core.writing.settings import DEFAULTS, LIMIT, WriteConfig, check_output

LOGS_TAKE = ("prompt", "mask", "limit", "output")


@click.command()
@click.argument("logs", metavar="[LOG]...", nargs=-1)
@click.option("--prompt", metavar="FILE", type=FILE, help="The prompt that queries are for.")
@click.option(
    "--queries",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Queries that you have, to be written more like; .txt, .jsonl, .csv or .parquet; - is standard input.",
)
@click.option("--column", "columns", metavar="KEY=NAME", multiple=True, help="That file's own name of query or so.")
@click.option("--labels", metavar="A,B,C", help="Answers that count; queries are asked for each.")
@click.option(
    "--format", type=click.Choice(get_args(Format)), help="Ask by an instruction, or by examples to go on from."
)
@click.option(
    "--backend",
    metavar="NAME",
    shell_complete=completion.backends,
    help="Who runs the model; default: local; see pdistill backends.",
)
@click.option("--teacher", metavar="[BACKEND:]MODEL", help="Model that writes.")
@click.option("-B", "backend_options", metavar="KEY=VALUE", multiple=True, help="Option of the backend.")
@click.option(
    "--limit", metavar="N", type=AT_LEAST_1, help=f"Queries at the most; default: {LIMIT}, and all of the logs'."
)
@click.option("--seed", metavar="N", type=int, help="Of sampling and of the examples that are shown; default: 0.")
@click.option(
    "--temperature",
    metavar="X",
    type=click.FloatRange(min=0),
    help=f"Of the answers; default: {DEFAULTS['chat'][0]:g} in chat, {DEFAULTS['text'][0]:g} in text.",
)
@click.option(
    "--top-p",
    metavar="X",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of probability that is drawn from; default: 1.",
)
@click.option(
    "--max-tokens",
    metavar="N",
    type=AT_LEAST_1,
    help=f"Longest answer; default: {DEFAULTS['chat'][1]} in chat, {DEFAULTS['text'][1]} in text.",
)
@click.option("--max-cost", metavar="USD", type=ABOVE_0, help="What writing must not pass, all interruptions together.")
@click.option("--from-logs", is_flag=True, help="Take the queries from LOG files; ask no model.")
@click.option("--mask", is_flag=True, help="Mask mail addresses, telephone numbers and such in the logs.")
@click.option("--output", metavar="FILE.jsonl", type=FILE, help="Where the queries go; default: queries.jsonl.")
@click.option("--dry-run", is_flag=True, help="Show what would happen; open no model and write nothing.")
@as_json
def queries(logs: tuple[str, ...], from_logs: bool, dry_run: bool, as_json: bool, **flags: Any) -> None:
    """Write queries for a prompt, or take them from logs.

    A model writes them: some for each label, some for each rule that the prompt states. With --from-logs they are what
    was asked in LOG files, one request in OpenAI's chat format a line; - is standard input. The same command goes on
    where it was stopped. The output is what --queries of `pdistill run` takes.
    """
    from pdistill.cli.listings import warn_of_plugins

    warn_of_plugins()
    given = {key: value for key, value in flags.items() if value is not None and value != () and value is not False}
    if from_logs:
        _from_logs(logs, given, dry_run, as_json)
    else:
        _written(logs, given, dry_run, as_json)


def _written(logs: Sequence[str], given: dict[str, Any], dry_run: bool, as_json: bool) -> None:
    from pdistill.cli.progress import showing
    from pdistill.cli.written import outcome, show_estimate
    from pdistill.core.writing.job import estimate_writing, write_queries

    if logs or "mask" in given:
        what = f"LOG '{logs[0]}'" if logs else "--mask"
        raise UsageError(f"{what} goes with --from-logs; give it to take queries from logs")
    if "prompt" not in given:
        raise UsageError("--prompt is missing; give --prompt FILE, or --from-logs and LOG files")
    config = WriteConfig(**_converted(given))
    with showing() as progress:
        made: Any = estimate_writing(config) if dry_run else write_queries(config, progress)
    click.echo((show_estimate if dry_run else outcome)(made, config, as_json))


def _converted(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags as the core has them."""
    values = dict(given)
    if values.get("queries") == "-":
        values["queries"] = standard_input()
    for key in ("prompt", "queries", "output"):
        if key in values:
            values[key] = Path(values[key])
    for key, flag in (("columns", "--column"), ("backend_options", "-B")):
        values[key] = parse_pairs(values.get(key, ()), flag)
    if "labels" in values:
        values["labels"] = labels_given(values["labels"])
    return values


def _from_logs(logs: Sequence[str], given: Mapping[str, Any], dry_run: bool, as_json: bool) -> None:
    from pdistill.cli.written import taken
    from pdistill.core.contract.queryfiles import read_text
    from pdistill.core.writing.mask import Mask
    from pdistill.core.writing.requestlogs import RequestLogs

    for key in given:
        if key not in LOGS_TAKE:
            flag = {"columns": "--column", "backend_options": "-B"}.get(key, f"--{key.replace('_', '-')}")
            raise UsageError(f"{flag} is for queries that a model writes, not for --from-logs")
    if not logs:
        raise UsageError("--from-logs needs files: pdistill queries --from-logs LOG...; - is standard input")
    output = Path(given.get("output", "queries.jsonl"))
    check_output(output)
    mask = Mask() if "mask" in given else None
    prompt = read_text(Path(given["prompt"])) if "prompt" in given else None
    read = RequestLogs(prompt, mask)
    paths = [standard_input() if log == "-" else Path(log) for log in logs]
    count = read.count(paths, given.get("limit")) if dry_run else read.write(paths, output, given.get("limit"))
    shown = {"masked": mask is not None, "dry_run": dry_run, "as_json": as_json}
    click.echo(taken(read, count, output, given.get("prompt", "FILE"), **shown))
