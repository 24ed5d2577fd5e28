"""`pdistill report`: how well the student does without the prompt."""

import click

from pdistill.cli import completion
from pdistill.cli.options import as_json, the_run
from pdistill.cli.plugin_warnings import warn_of_plugins


@click.command()
@the_run
@click.argument("other", metavar="[RUN]", required=False, shell_complete=completion.runs)
@as_json
def report(run: str, other: str | None, as_json: bool) -> None:
    """Show how well the student does, or compare two runs.

    RUN is a run directory, or its name under runs/. --json prints its report.json. A second RUN of the same task is
    compared with the first on the queries that both held out; each difference has its 95% interval.
    """
    from pdistill.cli.output.report import show
    from pdistill.cli.progress import showing
    from pdistill.core.results.reporting import report as make_report
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    directory = find_run(run)
    if other is not None:
        from pdistill.cli.output.comparison import show as show_comparison
        from pdistill.core.results.compare import compare

        second = find_run(other)
        with showing():
            compared = compare(directory, second)
        show_comparison(compared, as_json)
        return
    with showing():
        made = make_report(directory)
    show(made, directory.path, as_json)
