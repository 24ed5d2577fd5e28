"""`pdistill train` and `pdistill evaluate`: the later stages, one by one."""

from typing import Any

import click

from pdistill.cli.options import (
    TRAINING,
    as_json,
    backend_options_now,
    given,
    max_cost,
    spending_given,
    the_run,
    training_given,
)


@click.command()
@the_run
@given([*TRAINING, backend_options_now, max_cost, as_json])
def train(run: str, as_json: bool, **flags: Any) -> None:
    """Train the student on the teacher's answers.

    RUN is the folder of a run, or its name under runs/. An option that is not given is as `pdistill generate` was
    asked.
    """
    from pdistill.cli.counts import trained
    from pdistill.cli.listings import warn_of_plugins
    from pdistill.cli.progress import showing
    from pdistill.core.pipeline import train as train_student
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    directory = find_run(run)
    with showing() as progress:
        train_student(directory, training_given(flags), progress, **spending_given(flags))
    click.echo(trained(directory, as_json))


@click.command()
@the_run
@given([backend_options_now, max_cost, as_json])
def evaluate(run: str, as_json: bool, **flags: Any) -> None:
    """Let the five arms answer the held-out queries.

    RUN is the folder of a run, or its name under runs/. The arms: the teacher with the prompt; the base, which is the
    student before training, and the student, each without and with it.
    """
    from pdistill.cli.counts import evaluated
    from pdistill.cli.listings import warn_of_plugins
    from pdistill.cli.progress import showing
    from pdistill.core.pipeline import evaluate as evaluate_arms
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    directory = find_run(run)
    with showing() as progress:
        evaluate_arms(directory, progress, **spending_given(flags))
    click.echo(evaluated(directory, as_json))
