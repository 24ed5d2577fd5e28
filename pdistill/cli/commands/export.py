"""`pdistill export`: the student as a model directory for other tools."""

import shlex
from pathlib import Path

import click

from pdistill.cli.escape import json_text, one_line
from pdistill.cli.options import FRACTION, as_json, the_run
from pdistill.cli.plugin_warnings import warn_of_plugins


@click.command()
@the_run
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--merge", is_flag=True, help="Merge the adapter into the base model.")
@click.option(
    "--min-parity",
    metavar="X",
    type=FRACTION,
    help="Minimum fraction of held-out answers that must be reproduced (default: 1, or 0.99 for a run in half precision).",
)
@as_json
def export(run: str, directory: Path, merge: bool, min_parity: float | None, as_json: bool) -> None:
    """Export the student as a model directory for PEFT or transformers.

    RUN is a run directory, or its name under runs/; DIR is a new directory. It gets float32 weights, the tokenizer with
    a chat template that prompts the student in the format it was trained on, and a model card. Before DIR appears, the
    export is reloaded and must reproduce the recorded held-out answers.
    """
    from pdistill.cli.progress import showing
    from pdistill.core.delivery.export import export as export_student
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    source = find_run(run)
    with showing() as progress:
        parity = export_student(source, directory, merge=merge, min_parity=min_parity, progress=progress)
    if as_json:
        row = {"directory": str(directory), "merged": merge, "queries": parity.queries, "equal": parity.equal}
        click.echo(json_text({**row, "stopped": parity.stopped}))
        return
    place = one_line(shlex.quote(str(directory)))
    click.echo(
        f"{parity.equal:,} of {parity.queries:,} held-out answers of the evaluated student were reproduced\n"
        f"student saved in {place}; see {place}/README.md for how to load it"
    )
