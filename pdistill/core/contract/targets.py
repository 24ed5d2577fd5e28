"""The outcome of a response: a target that the student learns, or a rejection with its reason."""

from dataclasses import dataclass
from typing import Literal

Select = Literal["commonest", "best"]
"""How the target that is learnt is selected from the samples of one query."""


@dataclass(frozen=True, slots=True)
class HardTarget:
    """The text that the student learns to answer: the parsed response."""

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
UNSAYABLE = Rejected("not sayable by the student's tokenizer")
TOO_LONG = Rejected("longer than the student's context")
SPECIAL = Rejected("special tokens in the answer")
NEAR_HELD_OUT = Rejected("near-duplicate of a held-out query")
