"""`pdistill judge`: a judge model compares a run's answers with the teacher's."""

from pathlib import Path
from typing import Any

import click

from pdistill.cli.escape import json_text, one_line
from pdistill.cli.options import ABOVE_0, FILE, as_json, the_run
from pdistill.cli.sections import SectionedOption


@click.command()
@the_run
@click.option("--judge", "model", metavar="[BACKEND:]MODEL", required=True, help="Model that compares the answers.")
@click.option(
    "--judge-prompt",
    metavar="FILE",
    type=FILE,
    help="Instructions for the judge, instead of pdistill's; {prompt} is replaced by the run's own prompt.",
)
@click.option("-B", "backend_options", metavar="KEY=VALUE", multiple=True, help="Option of the judge's backend.")
@click.option(
    "--max-cost",
    cls=SectionedOption,
    metavar="USD",
    type=ABOVE_0,
    help="Spending limit in USD for the judge, across restarts.",
)
@as_json
def judge(run: str, model: str, judge_prompt: str | None, as_json: bool, **given: Any) -> None:
    """Let a judge model compare answers with the teacher's.

    RUN is the directory of a run, or its name under runs/. If the answer of the student, or of the base, differs from the
    teacher's, the judge sees both answers, in both orders, and replies SAME, A or B. Its verdicts are stored one by one,
    so that the same command resumes after an interruption, and their outcome becomes part of the report.
    """
    from pdistill.cli.plugin_warnings import warn_of_plugins
    from pdistill.cli.progress import showing
    from pdistill.core.contract.options import parse_pairs
    from pdistill.core.contract.queryfiles import read_text
    from pdistill.core.results.judge import PROMPT
    from pdistill.core.results.judge import judge as judge_run
    from pdistill.core.results.judgement import Judgement
    from pdistill.core.results.markdown import judgement
    from pdistill.core.store.records import from_row
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    directory = find_run(run)
    prompt = read_text(Path(judge_prompt)) if judge_prompt else PROMPT
    options = parse_pairs(given["backend_options"], "-B")
    with showing() as progress:
        row = judge_run(
            directory, model, prompt=prompt, backend_options=options, max_cost=given["max_cost"], progress=progress
        )
    lines = judgement(from_row(Judgement, row))
    click.echo(json_text(row, indent=2) if as_json else "\n".join(map(one_line, lines)))
