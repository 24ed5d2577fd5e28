"""Help in sections: a command whose options are listed under the headings that they are declared with."""

from typing import Any

import click
from click.types import OptionHelpExtra

OTHER = "Output"
"""The heading of options without one: what is written, and --help."""
FAR = 999
"""A greater limit only keeps a slip of the keyboard out."""
WIDTH = 26
"""Columns of the flags; a wider one has its help on the next line."""


class SectionedOption(click.Option):
    """An option that knows its section."""

    def __init__(self, *args: Any, section: str = OTHER, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        """Return what follows the help; of a range only a limit that a user may come near."""
        extra = super().get_help_extra(ctx)
        kind = self.type
        if "range" in extra and isinstance(kind, click.IntRange | click.FloatRange) and (kind.max or 0) > FAR:
            extra["range"] = f"x{'>' if kind.min_open else '>='}{kind.min}"
            if kind.min is None or kind.min < -FAR:
                del extra["range"]
        return extra


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
