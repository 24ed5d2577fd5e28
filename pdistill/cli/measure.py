"""`pdistill measure`: how much faster the served student is than the base under the prompt."""

from collections.abc import Mapping
from typing import Any

import click

from pdistill.cli.escape import json_text
from pdistill.cli.options import AT_LEAST_1, as_json, the_run

SIDES = {"student": "student, without the prompt", "base_prompted": "base, with the prompt"}


@click.command()
@the_run
@click.option(
    "--requests", metavar="N", type=AT_LEAST_1, default=32, show_default=True, help="Held-out queries to ask each."
)
@as_json
def measure(run: str, requests: int, as_json: bool) -> None:
    """Measure the served student against the base under the prompt.

    RUN is the folder of a run, or its name under runs/. Both are served alike, on this machine and one after the other, as
    by pdistill serve. Each is asked the same queries, first one by one, then by four clients at once.
    """
    from pdistill.cli.listings import warn_of_plugins
    from pdistill.cli.progress import showing
    from pdistill.core.delivery.measure import measure as measure_both
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    found = find_run(run)
    with showing() as progress:
        figures = measure_both(found, requests, progress)
    click.echo(json_text(figures) if as_json else _lines(figures))


def _lines(figures: Mapping[str, Any]) -> str:
    lines = [
        f"{shown}: first token after {figures[side]['first_token_seconds']:.3f} s, "
        f"{figures[side]['requests_per_second']:.2f} requests a second; {figures[side]['prompt_tokens']:,.0f} tokens a "
        f"request, {figures[side]['answer_tokens']:,.1f} an answer"
        for side, shown in SIDES.items()
    ]
    student, base = figures["student"], figures["base_prompted"]
    sooner = base["first_token_seconds"] / student["first_token_seconds"]
    more = student["requests_per_second"] / base["requests_per_second"]
    return "\n".join([*lines, f"the first token comes {sooner:.1f} times as fast, {more:.1f} times as many requests"])
