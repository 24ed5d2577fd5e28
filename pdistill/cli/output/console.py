"""The rich console on standard output: without markup, emoji codes and automatic highlighting."""

import sys

from rich.console import Console


class Output(Console):
    """A console whose reader may stop reading, as head does."""

    def on_broken_pipe(self) -> None:
        """Raise the error of the pipe: rich would end the process as failed.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError


def output() -> Console:
    """Return the console for standard output, as wide as its terminal."""
    return Output(file=sys.stdout, markup=False, emoji=False, highlight=False)
