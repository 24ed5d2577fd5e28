"""The error line of a failed command on standard error, and its exit code."""

import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Sequence

import click
from click.exceptions import NoArgsIsHelpError

from pdistill.cli.escape import one_line
from pdistill.core.errors import PdistillError

STOPPED = 130
TRACEBACK = "PDISTILL_TRACEBACK"
RESUMABLE = ("run", "generate", "train", "evaluate", "queries")


def failed(error: BaseException, args: Sequence[str]) -> int:
    """Write the error line of a failed command, and return its exit code.

    Args:
        args: the command line without the program's name.
    """
    if isinstance(error, BrokenPipeError):  # the reader, such as head, wants no more
        return 0
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt):
        ignore_signals()
        _write(_stopped(args))
        return STOPPED
    if isinstance(error, NoArgsIsHelpError):
        _write(error.format_message())
        return error.exit_code
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    _write(f"error: {explain(error)}")
    return error.exit_code if isinstance(error, PdistillError | click.ClickException) else 1


def explain(error: BaseException) -> str:
    """Return the error in one line."""
    if isinstance(error, PdistillError):
        return one_line(str(error))
    if isinstance(error, click.ClickException):
        return one_line(_usage(error))
    if isinstance(error, OSError) and error.strerror:
        place = f"'{error.filename}': " if error.filename else ""
        return one_line(f"{place}{error.strerror[0].lower()}{error.strerror[1:]}")
    cause = error.__cause__ if isinstance(error, click.Abort) and error.__cause__ else error
    first = f"unexpected {type(cause).__name__}: {cause}".rstrip(": ")
    return f"{one_line(first)}; run again with {TRACEBACK}=1 for a traceback"


def _usage(error: click.ClickException) -> str:
    message = error.format_message().strip().removesuffix(".")
    message = message.replace(". Did you mean", ", did you mean").replace(" Did you mean", ", did you mean")
    message = message[:1].lower() + message[1:]
    context = error.ctx if isinstance(error, click.UsageError) else None
    joint = " " if message.endswith("?") else "; "
    return f"{message}{joint}see {context.command_path} --help" if context else message


def _stopped(args: Sequence[str]) -> str:
    if not args or args[0] not in RESUMABLE or "--from-logs" in args:
        return "stopped"
    start = ["python", "-m", "pdistill"] if sys.argv[0].endswith("__main__.py") else ["pdistill"]
    return f"stopped; progress is saved; resume with: {one_line(shlex.join([*start, *args]))}"


def ignore_signals() -> None:
    """Guarantee that Ctrl-C no longer interrupts what is left to do: the last line, and the end of the process."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _write(line: str) -> None:
    click.echo(line, err=True)
