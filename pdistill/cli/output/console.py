"""The rich console on standard output: without markup, emoji codes and automatic highlighting."""

import sys

from rich.console import Console


def output() -> Console:
    """Return the console for standard output, as wide as its terminal."""
    return Console(file=sys.stdout, markup=False, emoji=False, highlight=False)
