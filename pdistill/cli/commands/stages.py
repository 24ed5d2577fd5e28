"""`pdistill train` and `pdistill evaluate`: the later stages, one at a time."""

from typing import Any

import click

from pdistill.cli.options import (
    FLAGS,
    TRAINING,
    as_json,
    backend_options_now,
    spending_options,
    the_run,
    training_options,
    with_options,
)
from pdistill.cli.plugin_warnings import warn_of_plugins


@click.command()
@the_run
@with_options([*TRAINING, backend_options_now, FLAGS["max_cost"], as_json])
def train(run: str, as_json: bool, **flags: Any) -> None:
    """Train the student on the teacher's answers.

    RUN is a run directory, or its name under runs/. Options that are left out are those of `pdistill generate`.
    """
    from pdistill.cli.output.counts import trained
    from pdistill.cli.progress import showing
    from pdistill.core.pipeline import train as train_student
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    directory = find_run(run)
    with showing() as progress:
        train_student(directory, training_options(flags), progress, **spending_options(flags))
    click.echo(trained(directory, as_json))


@click.command()
@the_run
@with_options([backend_options_now, FLAGS["max_cost"], as_json])
def evaluate(run: str, as_json: bool, **flags: Any) -> None:
    """Evaluate teacher, base and student on the held-out queries.

    RUN is a run directory, or its name under runs/. Five arms answer: the teacher with the prompt, and the base (the
    student before training) and the student, each with and without the prompt.
    """
    from pdistill.cli.output.counts import evaluated
    from pdistill.cli.progress import showing
    from pdistill.core.pipeline import evaluate as evaluate_arms
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    directory = find_run(run)
    with showing() as progress:
        evaluate_arms(directory, progress, **spending_options(flags))
    click.echo(evaluated(directory, as_json))
