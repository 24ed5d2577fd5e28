"""Help in sections: a command whose options are listed under the headings that they are declared with."""

from typing import Any

import click

OTHER = "Output"
"""The heading of options without one: what is written, and --help."""
WIDEST = 30
"""Columns of the widest option that has its help beside it."""


class SectionedOption(click.Option):
    """An option that knows its section."""

    def __init__(self, *args: Any, section: str = OTHER, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists the options by section, in the order in which the sections first appear."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; the columns of all of them are equally wide."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                section = param.section if isinstance(param, SectionedOption) else OTHER
                sections.setdefault(section, []).append(record)
        names = [name for rows in sections.values() for name, _ in rows]
        width = max(len(name) for name in names if len(name) <= WIDEST)
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), help) for name, help in rows], col_max=WIDEST)
