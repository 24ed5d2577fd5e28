"""`pdistill serve`: the student behind an OpenAI-compatible endpoint."""

import click

from pdistill.cli.escape import one_line
from pdistill.cli.options import the_run


@click.command()
@the_run
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0: any that is free.",
)
def serve(run: str, host: str, port: int) -> None:
    """Serve the student by OpenAI's chat completions, until Ctrl-C.

    RUN is the folder of a run, or its name under runs/; that name is the model's. The student is exported into the run
    first (merged/), loaded afresh, and must give the recorded held-out answers. Requests have no password: leave it on
    the loopback address, or put a proxy in front.
    """
    from pdistill.cli.listings import warn_of_plugins
    from pdistill.cli.progress import showing
    from pdistill.core.delivery.serve import servable
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    found = find_run(run)
    with showing() as progress:
        student = servable(found, progress)

    def ready(address: str) -> None:
        click.echo(f"{one_line(student.name)} listens on {one_line(address)}; stop it with Ctrl-C")

    student.serve(host, port, ready)
