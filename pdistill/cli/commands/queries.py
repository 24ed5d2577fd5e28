"""`pdistill queries`: lets a model write queries, or extracts them from request logs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from pdistill.cli.options import as_json, dry_run, flags_of, set_flags, split_labels, standard_input, with_options
from pdistill.cli.plugin_warnings import warn_of_plugins
from pdistill.cli.sections import SectionedCommand, SectionedOption
from pdistill.core.contract.options import parse_pairs
from pdistill.core.errors import UsageError
from pdistill.core.writing.settings import OPTIONS, WriteConfig, check_output

LOG_OPTIONS = ("prompt", "mask", "limit", "output")
FLAG_NAMES = {option.name: option.flag for option in OPTIONS}


@click.command(cls=SectionedCommand)
@click.argument("logs", metavar="[LOG]...", nargs=-1)
@with_options(list(flags_of(OPTIONS).values()))
@click.option(
    "--from-logs",
    cls=SectionedOption,
    section="Logs",
    is_flag=True,
    help="Extract the queries from LOG files; use no model.",
)
@click.option(
    "--mask",
    cls=SectionedOption,
    section="Logs",
    is_flag=True,
    help="Mask email addresses, phone numbers and similar data in the logs.",
)
@with_options([dry_run, as_json])
def queries(logs: tuple[str, ...], from_logs: bool, dry_run: bool, as_json: bool, **flags: Any) -> None:
    """Write queries for a prompt, or extract them from logs.

    A model writes queries for each label and for each rule in the prompt. With --from-logs, they are extracted from LOG
    files with one request in OpenAI's chat format per line; - is standard input. Progress is saved: run the same command
    again to resume. The output is a file for --queries of `pdistill run`.
    """
    warn_of_plugins()
    values = set_flags(flags)
    if from_logs:
        _from_logs(logs, values, dry_run, as_json)
    else:
        _written(logs, values, dry_run, as_json)


def _written(logs: Sequence[str], values: dict[str, Any], dry_run: bool, as_json: bool) -> None:
    from pdistill.cli.output import query_results
    from pdistill.cli.progress import showing
    from pdistill.core.writing.job import estimate_writing, write_queries

    if logs or "mask" in values:
        what = f"LOG '{logs[0]}'" if logs else "--mask"
        raise UsageError(f"{what} needs --from-logs, which extracts queries from logs")
    if "prompt" not in values:
        raise UsageError("--prompt is missing; give --prompt FILE, or --from-logs and LOG files")
    config = WriteConfig(**_converted(values))
    with showing() as progress:
        if dry_run:
            shown = query_results.dry_run(estimate_writing(config), config, as_json)
        else:
            shown = query_results.written(write_queries(config, progress), config, as_json)
    click.echo(shown)


def _converted(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the flags, as WriteConfig takes them."""
    values = dict(flags)
    for key in ("columns", "backend_options"):
        values[key] = parse_pairs(values.get(key, ()), FLAG_NAMES[key])
    if values.get("queries") == "-":
        values["queries"] = standard_input(values["columns"].values())
    for option in OPTIONS:
        if option.type is Path and option.name in values:
            values[option.name] = Path(values[option.name])
    if "labels" in values:
        values["labels"] = split_labels(values["labels"])
    return values


def _from_logs(logs: Sequence[str], values: Mapping[str, Any], dry_run: bool, as_json: bool) -> None:
    from pdistill.cli.output.query_results import extracted
    from pdistill.core.contract.queryfiles import read_text
    from pdistill.core.writing.mask import Mask
    from pdistill.core.writing.requestlogs import RequestLogs

    for key in values:
        if key not in LOG_OPTIONS:
            raise UsageError(f"{FLAG_NAMES[key]} can't be used with --from-logs, which uses no model")
    if not logs:
        raise UsageError("--from-logs needs files: pdistill queries --from-logs LOG...; - is standard input")
    output = Path(values.get("output", "queries.jsonl"))
    check_output(output)
    mask = Mask() if "mask" in values else None
    prompt = read_text(Path(values["prompt"])) if "prompt" in values else None
    read = RequestLogs(prompt, mask)
    paths = [standard_input() if log == "-" else Path(log) for log in logs]
    count = read.count(paths, values.get("limit")) if dry_run else read.write(paths, output, values.get("limit"))
    settings = {"masked": mask is not None, "dry_run": dry_run, "as_json": as_json}
    click.echo(extracted(read, count, output, values.get("prompt", "FILE"), **settings))
