"""The verdict at the top of a report: whether the student can be shipped, why, and what to do next."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ship", "not yet", "can't tell"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the student can be shipped."""

    state: State
    reason: str
    next: str
    """What to do next."""
