"""`pdistill measure`: the speed of the served student against the base with the prompt."""

from collections.abc import Mapping
from typing import Any

import click

from pdistill.cli.escape import json_text
from pdistill.cli.options import AT_LEAST_1, as_json, the_run
from pdistill.cli.plugin_warnings import warn_of_plugins
from pdistill.cli.sections import SectionedOption

SIDES = {"student": "student, without the prompt", "base_prompted": "base, with the prompt"}


@click.command()
@the_run
@click.option(
    "--requests",
    cls=SectionedOption,
    metavar="N",
    type=AT_LEAST_1,
    default=32,
    show_default=True,
    help="Number of held-out queries sent to each.",
)
@as_json
def measure(run: str, requests: int, as_json: bool) -> None:
    """Benchmark the served student against the base with the prompt.

    RUN is a run directory, or its name under runs/. Each is served on this machine as by pdistill serve, one after the
    other, and gets the same queries: first one at a time, then from four clients at once.
    """
    from pdistill.cli.progress import showing
    from pdistill.core.delivery.measure import measure as measure_both
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    directory = find_run(run)
    with showing() as progress:
        figures = measure_both(directory, requests, progress)
    click.echo(json_text(figures) if as_json else _lines(figures))


def _lines(figures: Mapping[str, Any]) -> str:
    lines = [
        f"{shown}: time to first token {figures[side]['first_token_seconds']:.3f} s, "
        f"{figures[side]['requests_per_second']:.2f} requests/s; {figures[side]['prompt_tokens']:,.0f} input and "
        f"{figures[side]['answer_tokens']:,.1f} output tokens per request"
        for side, shown in SIDES.items()
    ]
    student, base = figures["student"], figures["base_prompted"]
    sooner = base["first_token_seconds"] / student["first_token_seconds"]
    more = student["requests_per_second"] / base["requests_per_second"]
    return "\n".join(
        [*lines, f"the student's first token comes {sooner:.1f} times as fast, at {more:.1f} times the throughput"]
    )
