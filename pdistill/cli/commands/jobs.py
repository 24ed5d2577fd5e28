"""`pdistill run` and `pdistill generate`: the commands that take the whole configuration."""

from collections.abc import Mapping
from typing import Any

import click

from pdistill.cli.escape import json_text
from pdistill.cli.options import JOB, config_of_flags, with_options
from pdistill.cli.plugin_warnings import warn_of_plugins
from pdistill.cli.sections import SectionedCommand
from pdistill.core.setup.config import Config


@click.command(cls=SectionedCommand)
@with_options(JOB)
def run(dry_run: bool, as_json: bool, **flags: Any) -> None:
    """Run the whole pipeline: generate, train, evaluate, report.

    Use an installed task (--task) or your own files (--prompt and --queries). Progress is saved: run the same command
    again to resume; rerunning a finished run only shows its report.
    """
    config = _begin(flags)
    if dry_run:
        _dry_run(config, as_json)
        return
    from pdistill.cli.progress import showing
    from pdistill.core.pipeline import run as run_job

    with showing() as progress:
        report = run_job(config, progress)
    from pdistill.cli.output.report import show

    show(report, config.directory, as_json)


@click.command(cls=SectionedCommand)
@with_options(JOB)
def generate(dry_run: bool, as_json: bool, **flags: Any) -> None:
    """Generate the teacher's answers to the queries.

    The answers become training examples: a target for each query, or the reason why its answer was rejected. Takes all
    options of `pdistill run`, because this stage fixes them for the later ones.
    """
    config = _begin(flags)
    if dry_run:
        _dry_run(config, as_json)
        return
    from pdistill.cli.output.counts import generated
    from pdistill.cli.progress import showing
    from pdistill.core.pipeline import generate as generate_examples

    with showing() as progress:
        directory = generate_examples(config, progress)
    click.echo(generated(directory, as_json))


def _begin(flags: Mapping[str, Any]) -> Config:
    config = config_of_flags(flags)
    warn_of_plugins()
    return config


def _dry_run(config: Config, as_json: bool) -> None:
    from pdistill.cli.output.dry_run import as_row, dry_run_of, show
    from pdistill.cli.progress import showing

    with showing():
        made = dry_run_of(config)
    if as_json:
        click.echo(json_text(as_row(made), indent=2))
    else:
        show(made)
