"""Writes docs/reference/cli.md from the help texts of the commands: `python docs/generate_cli.py`."""

from pathlib import Path

import click

from pdistill.cli.main import COMMANDS, pdistill

PAGE = Path(__file__).parent / "reference" / "cli.md"
WIDTH = 100

START = """\
# Command line

Generated from `pdistill COMMAND --help` by `python docs/generate_cli.py`; a test checks that it is up to date.

Exit codes: 0 success; 1 failure, explained in one line on standard error; 2 wrong usage; 130 stopped by Ctrl-C or SIGTERM,
with the progress saved. Results are written to standard output in UTF-8, everything else to standard error. `NO_COLOR` turns
colours off; `PDISTILL_TRACEBACK=1` adds a traceback to the error.
"""


def page() -> str:
    """Return the page."""
    root = click.Context(pdistill, info_name="pdistill", **pdistill.context_settings)
    root.terminal_width = WIDTH
    parts = [START, _section("pdistill", root)]
    for name in COMMANDS:
        command = pdistill.get_command(root, name)
        assert command is not None
        parts.append(_section(f"pdistill {name}", click.Context(command, info_name=name, parent=root)))
    return "\n".join(parts)


def _section(title: str, context: click.Context) -> str:
    return f"## {title}\n\n```text\n{context.get_help()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
