"""How the core reports its progress; the CLI displays it, a notebook may, and by default it is discarded."""

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one run."""

    def begin(self, stage: str, total: int, done: int, unit: str) -> None:
        """Start a stage of `total` units of work, `done` of which were done before."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count more units of the stage as done; `note` is a figure worth showing, such as the loss."""

    def end(self) -> None:
        """End the stage."""

    def say(self, line: str) -> None:
        """Show a line that the user should see, once."""


class Silent:
    """Discards all progress."""

    def begin(self, stage: str, total: int, done: int, unit: str) -> None:
        """Do nothing."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def say(self, line: str) -> None:
        """Do nothing."""
