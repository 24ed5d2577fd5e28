"""How the core tells of its work; the CLI shows it, a notebook may, and by default nobody listens."""

from typing import Protocol


class Progress(Protocol):
    """Listens to one run."""

    def begin(self, stage: str, total: int, done: int, unit: str) -> None:
        """A stage begins: `total` units of work, `done` of them in an earlier run."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """More of the stage is done; `note` is a figure worth showing, such as the loss."""

    def end(self) -> None:
        """The stage is over."""

    def say(self, line: str) -> None:
        """Something that the user should know, once."""


class Silent:
    """Progress that nobody looks at."""

    def begin(self, stage: str, total: int, done: int, unit: str) -> None:
        """Do nothing."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def say(self, line: str) -> None:
        """Do nothing."""
