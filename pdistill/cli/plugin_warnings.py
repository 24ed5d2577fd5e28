"""Warnings about plugins that can't be used."""

import click

from pdistill.cli.escape import one_line


def warn_of_plugins() -> None:
    """Write one warning to standard error for each plugin that is skipped."""
    from pdistill.core.contract.plugins import installed

    for problem in installed().problems:
        click.echo(f"warning: {one_line(problem)}", err=True)
