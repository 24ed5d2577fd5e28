"""`pdistill export`: the student as a folder that others load."""

import shlex
from pathlib import Path

import click

from pdistill.cli.escape import json_text, one_line
from pdistill.cli.options import as_json, the_run


@click.command()
@the_run
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--merge", is_flag=True, help="Write a model of its own, not an adapter to its base.")
@click.option(
    "--min-parity",
    metavar="X",
    type=click.FloatRange(0, 1),
    help="Share of held-out answers that must be equal; default: all, or 0.99 of a run in half precision.",
)
@as_json
def export(run: str, directory: Path, merge: bool, min_parity: float | None, as_json: bool) -> None:
    """Write the student as a folder that PEFT or transformers loads.

    RUN is the folder of a run, or its name under runs/; DIR is a new folder. It holds float32 weights, the tokenizer with
    a chat template that asks the student as it was trained, and a model card. It is loaded afresh and must give the
    recorded held-out answers before it appears.
    """
    from pdistill.cli.listings import warn_of_plugins
    from pdistill.cli.progress import showing
    from pdistill.core.delivery.export import export as export_student
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    found = find_run(run)
    with showing() as progress:
        parity = export_student(found, directory, merge=merge, min_parity=min_parity, progress=progress)
    if as_json:
        row = {"directory": str(directory), "merged": merge, "queries": parity.queries, "equal": parity.equal}
        click.echo(json_text({**row, "stopped": parity.stopped}))
        return
    place = one_line(shlex.quote(str(directory)))
    click.echo(
        f"{parity.equal:,} of {parity.queries:,} held-out answers are those of the evaluated student\n"
        f"the student stands in {place}; how to load it: {place}/README.md"
    )
