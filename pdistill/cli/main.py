"""The command `pdistill`; what each of its commands needs is imported when it is used."""

import io
import signal
import sys
from types import FrameType

import click

from pdistill.cli.group import LazyGroup, Listed

JOBS, STAGES, LISTINGS = "pdistill.cli.jobs", "pdistill.cli.stages", "pdistill.cli.listings"

COMMANDS = {
    "run": Listed(JOBS, "Do the whole job: generate, train, evaluate, report."),
    "generate": Listed(JOBS, "Let the teacher answer the queries under the prompt."),
    "queries": Listed("pdistill.cli.queries", "Write queries for a prompt, or take them from logs."),
    "train": Listed(STAGES, "Train the student on the teacher's answers."),
    "evaluate": Listed(STAGES, "Let the five arms answer the held-out queries."),
    "report": Listed("pdistill.cli.report", "Show how well the student does, or compare two runs."),
    "check": Listed("pdistill.cli.check", "Fail if a run does not meet thresholds."),
    "judge": Listed("pdistill.cli.judge", "Let a judge model compare answers with the teacher's."),
    "sample": Listed("pdistill.cli.sample", "Ask the trained student, or another arm of the run."),
    "export": Listed("pdistill.cli.export", "Write the student as a folder that PEFT or transformers loads."),
    "serve": Listed("pdistill.cli.serve", "Serve the student by OpenAI's chat completions, until Ctrl-C."),
    "measure": Listed("pdistill.cli.measure", "Measure the served student against the base under the prompt."),
    "tasks": Listed(LISTINGS, "List the tasks, or show one."),
    "backends": Listed(LISTINGS, "List the backends and their options."),
    "plugins": Listed(LISTINGS, "List the plugins, and where each comes from."),
    "new-task": Listed("pdistill.cli.new_task", "Write a package with a task of your own."),
}

EPILOG = """\b
Shell completion: put the line of your shell into its start-up file.
  bash  eval "$(_PDISTILL_COMPLETE=bash_source pdistill)"
  zsh   eval "$(_PDISTILL_COMPLETE=zsh_source pdistill)"
  fish  _PDISTILL_COMPLETE=fish_source pdistill | source
"""


@click.group(
    cls=LazyGroup,
    listed=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="pdistill", prog_name="pdistill")
def pdistill() -> None:
    """Prompt distillation: move a long prompt into a model's weights.

    A teacher answers queries under the prompt; a student learns to give the same answers without it. Every stage
    stores what it has done at once, so the same command goes on after an interruption.
    """


def main() -> None:
    """Run the command line of this process and exit with its code."""
    signal.signal(signal.SIGTERM, _stop)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace" if stream is sys.stdin else "backslashreplace")
    pdistill.main(prog_name="pdistill")


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
