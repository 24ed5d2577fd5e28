"""Shell completion of the names of tasks, backends and runs."""

import re
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from pdistill.cli.escape import one_line

PLAIN = re.compile(r"[\w.,:@%+=/][\w.,:@%+=/-]*")
"""Names that no shell changes or runs. The others are not offered: bash would insert them without quotes."""


def tasks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the installed tasks whose names start with the typed text."""
    from pdistill.core.contract.plugins import installed

    return _items(((entry.name, entry.summary) for entry in installed().tasks), incomplete)


def backends(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the installed backends whose names start with the typed text."""
    from pdistill.core.contract.plugins import installed

    return _items(((entry.name, entry.summary) for entry in installed().backends), incomplete)


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the runs under runs/ whose names start with the typed text; without any, let the shell complete directories."""
    names = sorted(path.parent.name for path in Path("runs").glob("*/run.json"))
    return _items(((name, "") for name in names), incomplete) or [CompletionItem(incomplete, type="dir")]


def _items(names: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(name, help=one_line(summary) or None)
        for name, summary in names
        if name.startswith(incomplete) and PLAIN.fullmatch(name)
    ]
