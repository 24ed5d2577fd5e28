"""The tables of reports and comparisons."""

from typing import TYPE_CHECKING

from pdistill.cli.escape import one_line

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


def table_of(*columns: str) -> "Table":
    """Return an empty table: the first column is aligned to the left, the others to the right and never wrapped."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, justify="left" if at == 0 else "right", overflow="fold", no_wrap=at > 0)
    return table


def text_of(name: str) -> "Text":
    """Return a name as one line without markup."""
    from rich.text import Text

    return Text(one_line(name))
