"""The command `pdistill`; each of its commands is imported when it is invoked."""

import io
import os
import signal
import sys
from types import FrameType

import click

from pdistill.cli.failures import STOPPED, ignore_signals
from pdistill.cli.group import LazyGroup, Listed

JOBS, STAGES, LISTINGS = "pdistill.cli.commands.jobs", "pdistill.cli.commands.stages", "pdistill.cli.commands.listings"

COMMANDS = {
    "run": Listed(JOBS, "Run the whole pipeline: generate, train, evaluate, report."),
    "generate": Listed(JOBS, "Generate the teacher's answers to the queries."),
    "queries": Listed("pdistill.cli.commands.queries", "Write queries for a prompt, or extract them from logs."),
    "train": Listed(STAGES, "Train the student on the teacher's answers."),
    "evaluate": Listed(STAGES, "Evaluate teacher, base and student on the held-out queries."),
    "report": Listed("pdistill.cli.commands.report", "Show how well the student does, or compare two runs."),
    "check": Listed("pdistill.cli.commands.check", "Fail if a run does not meet thresholds."),
    "judge": Listed("pdistill.cli.commands.judge", "Let a judge model compare answers with the teacher's."),
    "sample": Listed("pdistill.cli.commands.sample", "Query the trained student, or another arm of the run."),
    "export": Listed(
        "pdistill.cli.commands.export", "Export the student as a model directory for PEFT or transformers."
    ),
    "serve": Listed("pdistill.cli.commands.serve", "Serve the student over an OpenAI-compatible chat API."),
    "measure": Listed(
        "pdistill.cli.commands.measure", "Benchmark the served student against the base with the prompt."
    ),
    "tasks": Listed(LISTINGS, "List the installed tasks, or show one."),
    "backends": Listed(LISTINGS, "List the installed backends and their options."),
    "plugins": Listed(LISTINGS, "List the installed plugins and their packages."),
    "new-task": Listed("pdistill.cli.commands.new_task", "Create a Python package with a task of your own."),
}

MOMENT = 0.01
"""Seconds until an interrupt that could not be raised is raised again."""
EPILOG = """\b
Shell completion: add the line for your shell to its start-up file.
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
    """Prompt distillation: bake a long prompt into a model's weights.

    A teacher answers queries with the prompt; a student is trained to give the same answers without it. Every stage
    saves its progress: rerun an interrupted command to resume it.
    """


def main() -> None:
    """Run the command line of this process, and exit with its exit code."""
    try:
        sys.unraisablehook = _lost
        for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _stop)
        _prepare_streams()
        pdistill.main(prog_name="pdistill")
    except KeyboardInterrupt:  # between two commands' own handling of it
        sys.exit(STOPPED)
    finally:
        ignore_signals()
        eval("0")  # noqa: S307 - else Python ends itself by the signal, if it was raised in an exec, although it was handled


def _prepare_streams() -> None:
    """Guarantee that the standard streams are open and take every character."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed before the process began
            setattr(sys, name, io.TextIOWrapper(io.FileIO(os.devnull, mode), "utf-8"))
    if os.environ.get("COLUMNS", "").strip("0") == "":
        os.environ.pop("COLUMNS", None)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace" if stream is sys.stdin else "backslashreplace")


def _stop(signum: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but not in the import system, where it could be lost: there a moment later."""
    if frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        signal.setitimer(signal.ITIMER_REAL, MOMENT)
    else:
        raise KeyboardInterrupt


def _lost(unraisable: "sys.UnraisableHookArgs") -> None:
    """Raise a KeyboardInterrupt that a callback or a destructor lost again, a moment later."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, MOMENT)
    else:
        sys.__unraisablehook__(unraisable)
