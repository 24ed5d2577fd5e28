"""A click group that imports a command only when it is invoked, and shows every failure as one line."""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from pdistill.cli.failures import failed
from pdistill.core.errors import unknown


class Listed(NamedTuple):
    """A command that is not imported yet: the module that defines it under its own name, and its short help."""

    module: str
    help: str


class LazyGroup(click.Group):
    """A group whose commands are imported when they are invoked; help and completion only read the table."""

    def __init__(self, *args: Any, listed: Mapping[str, Listed], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._listed = listed

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, in the order of the table."""
        return list(self._listed)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, imported, or None."""
        if cmd_name not in self._listed:
            return None
        command = getattr(import_module(self._listed[cmd_name].module), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name, and the remaining arguments.

        Raises:
            UsageError: there is no such command.
        """
        if args[0] not in self._listed and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise unknown("command", args[0], self._listed)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, listed.help) for name, listed in self._listed.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that start with the typed text."""
        names = [
            CompletionItem(name, help=listed.help)
            for name, listed in self._listed.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        """Return what the command returns; a reader of its output that stops reading, such as head, ends it without a failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _drop_output()
            return 0

    def main(self, args: Any = None, prog_name: str | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command line and exit with its code."""
        arguments = sys.argv[1:] if args is None else list(args)
        extra["standalone_mode"] = False
        try:
            code = super().main(arguments, prog_name, *rest, **extra)
            sys.stdout.flush()
        except BaseException as error:
            if isinstance(error, SystemExit):
                raise
            code = failed(error, arguments)
            _drop_output()
        sys.exit(code if isinstance(code, int) else 0)


def _drop_output() -> None:
    """Guarantee that output which can't be written does not fail a second time when the process ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
