"""What a response becomes: a target that the student learns, or a rejection with its reason."""

from dataclasses import dataclass
from typing import Literal

Select = Literal["commonest", "best"]
"""Which of several targets of one query is learnt."""


@dataclass(frozen=True, slots=True)
class HardTarget:
    """The text that the student learns to answer with: the parsed response."""

    text: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A response that is not used; `reason` is a short phrase, the same for all rejections of its kind."""

    reason: str


CUT_OFF = Rejected("cut off at the token limit")
FAILED = Rejected("the backend gave no answer")
EMPTY = Rejected("empty")
NOT_A_LABEL = Rejected("not one of the labels")
NO_ANSWER = Rejected("without the text of --answer-after")
UNSURE = Rejected("below --min-confidence")
