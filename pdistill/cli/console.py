"""The rich console on standard output: no markup, no emoji codes, no guesses at what is a number."""

import sys

from rich.console import Console


def output() -> Console:
    """Return the console for standard output, as wide as its terminal."""
    return Console(file=sys.stdout, markup=False, emoji=False, highlight=False)
