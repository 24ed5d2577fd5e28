"""A probe without a result."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NotRun:
    """A probe that was not run."""

    alarm: None
    not_run: str
    """Why."""


NO_ROOM = NotRun(None, "no question fits into the model's context")
