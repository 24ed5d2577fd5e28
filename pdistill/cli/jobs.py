"""`pdistill run` and `pdistill generate`: what takes the whole configuration."""

from collections.abc import Mapping
from typing import Any

import click

from pdistill.cli.escape import json_text
from pdistill.cli.options import JOB, config_given, given
from pdistill.core.setup.config import Config


@click.command()
@given(JOB)
def run(dry_run: bool, as_json: bool, **flags: Any) -> None:
    """Do the whole job: generate, train, evaluate, report.

    The task is one that is installed (--task) or is made of two files (--prompt and --queries). What is done is kept:
    the same command goes on where it was stopped, and changes nothing once all is there.
    """
    config = _begin(flags)
    if dry_run:
        _dry_run(config, as_json)
        return
    from pdistill.cli.progress import showing
    from pdistill.core.pipeline import run as run_job

    with showing() as progress:
        report = run_job(config, progress)
    from pdistill.cli.report import show

    show(report, config.directory, as_json)


@click.command()
@given(JOB)
def generate(dry_run: bool, as_json: bool, **flags: Any) -> None:
    """Let the teacher answer the queries under the prompt.

    The answers become examples: a target for each query, or the reason why the answer can't be used. Takes the
    options of `pdistill run`, because they are settled here for all stages.
    """
    config = _begin(flags)
    if dry_run:
        _dry_run(config, as_json)
        return
    from pdistill.cli.counts import generated
    from pdistill.cli.progress import showing
    from pdistill.core.pipeline import generate as generate_examples

    with showing() as progress:
        directory = generate_examples(config, progress)
    click.echo(generated(directory, as_json))


def _begin(flags: Mapping[str, Any]) -> Config:
    from pdistill.cli.listings import warn_of_plugins

    config = config_given(flags)
    warn_of_plugins()
    return config


def _dry_run(config: Config, as_json: bool) -> None:
    from pdistill.cli.dry_run import as_row, foresee, show
    from pdistill.cli.progress import showing

    with showing():
        foreseen = foresee(config)
    if as_json:
        click.echo(json_text(as_row(foreseen), indent=2))
    else:
        show(foreseen)
