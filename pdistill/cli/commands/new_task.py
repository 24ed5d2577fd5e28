"""`pdistill new-task`: writes a Python package with a task of your own."""

import shlex
from pathlib import Path

import click

from pdistill.cli.escape import one_line
from pdistill.cli.plugin_warnings import warn_of_plugins


@click.command("new-task")
@click.argument("name")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
def new_task(name: str, directory: Path | None) -> None:
    """Create a Python package with a task of your own.

    NAME is the task's name for --task: lower-case letters and digits, with hyphens between words. DIR is a new or empty
    directory for the package; default: pdistill-task-NAME. The package installs, passes its tests and runs as is; edit
    its prompt, its queries and the marked place in its module.
    """
    from pdistill.core.setup.newtask import write_package

    warn_of_plugins()
    folder, paths = write_package(name, directory)
    place, with_pytest = shlex.quote(str(folder)), shlex.quote(f"{folder}[dev]")
    click.echo(f"{len(paths)} files in {one_line(str(folder))}:")
    for path in paths:
        click.echo(f"  {one_line(str(path.relative_to(folder)))}")
    click.echo("\nIt runs as is:")
    for command in (
        f"pip install --editable {with_pytest}",
        f"pytest {place}",
        f"pdistill tasks {name}",
        f"pdistill run --task {name} --backend fake",
    ):
        click.echo(f"  {one_line(command)}")
    click.echo("\nThen edit prompt.txt, queries.jsonl, and the place marked EDIT HERE in __init__.py.")
