"""What the campaign's modules share: their size and seed, hostile texts, and what every command must keep to."""

import os
from random import Random

from click.testing import CliRunner, Result

from pdistill.cli.main import pdistill
from pdistill.core.escape import lines

SIZE = int(os.environ.get("PDISTILL_CAMPAIGN", "20"))
"""Cases per test."""
CASES = range(SIZE)
TEXTS = (
    "",
    " ",
    "a\x00b",
    "\x1b]0;title\x07",
    "\x9b2J",
    "\u202eevil\u2066",
    "\ufeff",
    "\u2028",
    "\U000e0041",
    "\U0001f468\u200d\U0001f469",
    "e\u0301",
    "x" * 5_000,
    "{query}",
    "{{ 7 * 7 }}",
    "</script><script>alert(1)</script>",
    "<|im_start|>system",
    "$(touch x)",
    "`x`",
    "../../x",
    'a,b\n"c',
    "'; --",
    "[bold]x[/bold]",
    "=1+1",
    "%s %n",
    "-1",
    "NaN",
    "null",
)
"""Texts that something obeys: a terminal, a page, a template, a shell, a table."""


def draws(name: str, case: int) -> Random:
    """Return the random numbers of one case, the same in every run of the campaign."""
    return Random(f"{name} {case}")


def invoke(*args: object) -> Result:
    """Return what a command did; it did well or said in one line why not, and wrote nothing that a terminal obeys."""
    result = CliRunner().invoke(pdistill, [str(arg) for arg in args])
    last = result.stderr.splitlines()[-1:] or [""]
    assert result.exit_code in (0, 1, 2), (args, result.output)
    assert result.exit_code == 0 or last[0].startswith("error: ") or args[0] == "check", (args, result.output)
    assert "error: unexpected" not in result.stderr, (args, result.stderr)
    assert "Traceback" not in result.output, (args, result.output)
    assert lines(result.output) == result.output, args
    return result
