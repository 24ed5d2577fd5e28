"""`pdistill new-task`: writes a package with a task of one's own."""

import shlex
from pathlib import Path

import click

from pdistill.cli.escape import one_line


@click.command("new-task")
@click.argument("name")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
def new_task(name: str, directory: Path | None) -> None:
    """Write a package with a task of your own.

    NAME is what --task will find it by: lower-case letters and digits, with hyphens between words. DIR is the package's
    own folder, empty or not there yet; default: pdistill-task-NAME. The package installs, passes its tests and runs as it
    stands; its prompt, its queries and one marked place in its module are yours to change.
    """
    from pdistill.cli.listings import warn_of_plugins
    from pdistill.core.setup.newtask import write_package

    warn_of_plugins()
    folder, paths = write_package(name, directory)
    place, with_pytest = shlex.quote(str(folder)), shlex.quote(f"{folder}[dev]")
    click.echo(f"{len(paths)} files in {one_line(str(folder))}:")
    for path in paths:
        click.echo(f"  {one_line(str(path.relative_to(folder)))}")
    click.echo("\nIt runs as it stands:")
    for command in (
        f"pip install --editable {with_pytest}",
        f"pytest {place}",
        f"pdistill tasks {name}",
        f"pdistill run --task {name} --backend fake",
    ):
        click.echo(f"  {one_line(command)}")
    click.echo("\nThen make it yours: prompt.txt, queries.jsonl, and the place marked EDIT HERE in __init__.py.")
