"""Help in sections: a command whose options are listed under the headings that they are declared with."""

from typing import Any

import click

OTHER = "Output"
"""The heading of options without one: what is written, and --help."""
WIDTH = 26
"""Columns of the flags; a wider one has its help on the next line."""


class SectionedOption(click.Option):
    """An option that knows its section."""

    def __init__(self, *args: Any, section: str = OTHER, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists the options by section, in the order in which the sections first appear, Output last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; their columns are equally wide."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                section = param.section if isinstance(param, SectionedOption) else OTHER
                sections.setdefault(section, []).append(record)
        for section in (*(name for name in sections if name != OTHER), OTHER):
            with formatter.section(section):
                formatter.write_dl([(flag.ljust(WIDTH), help) for flag, help in sections[section]], col_max=WIDTH)
