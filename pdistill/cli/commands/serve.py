"""`pdistill serve`: the student behind an OpenAI-compatible API."""

import click

from pdistill.cli.escape import one_line
from pdistill.cli.options import the_run
from pdistill.cli.plugin_warnings import warn_of_plugins


@click.command()
@the_run
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--allow-host",
    metavar="NAME",
    multiple=True,
    help="Host name that requests may be addressed to, such as a proxy's; may be repeated.",
)
@click.option(
    "--ignore-system",
    is_flag=True,
    help="Leave system messages out of the requests: some clients still send the prompt.",
)
def serve(run: str, host: str, port: int, allow_host: tuple[str, ...], ignore_system: bool) -> None:
    """Serve the student over an OpenAI-compatible chat API.

    RUN is a run directory, or its name under runs/, which is also the model's name. The student is first exported into
    the run directory (merged/), reloaded, and must reproduce the recorded held-out answers. Requests aren't
    authenticated: keep to the loopback address, or put a proxy in front. Stop the server with Ctrl-C.
    """
    from pdistill.cli.progress import showing
    from pdistill.core.delivery.serve import servable
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    directory = find_run(run)
    with showing() as progress:
        student = servable(directory, progress)

    def ready(address: str) -> None:
        click.echo(f"{one_line(student.name)} is served at {one_line(address)}; stop it with Ctrl-C")

    student.serve(host, port, ready, allow_host, ignore_system=ignore_system)
