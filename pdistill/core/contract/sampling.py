"""Requests to a model, how answers are sampled, and what is returned: requests, sampling settings, completions."""

import hashlib
import warnings
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, Self

from pdistill.core.contract.jsontext import Row
from pdistill.core.contract.prompts import Prompt

Finish = Literal["stop", "length", "error"]


class Key(NamedTuple):
    """Identifies an answer: the number of the query and the number of the sample."""

    number: int
    sample: int = 0


DEFAULT_MAX_TOKENS = 256
"""Tokens of an answer where neither the user nor the task says anything."""


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to be sampled; `seed` determines it, whatever the batch or the order."""

    key: Key
    prompt: Prompt
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a model may answer, exactly one of: some labels, text that matches a pattern, JSON that conforms to a schema."""

    labels: tuple[str, ...] | None = None
    pattern: str | None = None
    json_schema: str | None = None

    @property
    def kind(self) -> Literal["labels", "pattern", "json"]:
        """Which of the three is set."""
        return "labels" if self.labels is not None else "pattern" if self.pattern is not None else "json"

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the value that a row of plain JSON values holds."""
        labels = row.get("labels")
        return cls(None if labels is None else tuple(labels), row.get("pattern"), row.get("json_schema"))

    def as_row(self) -> dict[str, object]:
        """Return the value as a row of plain JSON values."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are sampled.

    Args:
        temperature: 0 is greedy decoding.
        top_p: the probability mass that nucleus sampling keeps.
        max_tokens: tokens after which an answer is cut off (its finish is then "length").
        stop: texts that end an answer; they are not part of it.
        stop_at_newline: whether the first newline after a character that is not whitespace ends an answer too.
        allowed: the answers that decoding is constrained to; None: any. Only for a teacher with that capability.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = DEFAULT_MAX_TOKENS
    stop: tuple[str, ...] = ()
    stop_at_newline: bool = False
    allowed: Allowed | None = None

    @property
    def first_line(self) -> bool:
        """`stop_at_newline`, by its name in 0.1."""
        warnings.warn(
            "Sampling.first_line is called stop_at_newline in this version of pdistill",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.stop_at_newline

    def cut(self, text: str) -> tuple[str, bool]:
        """Return `text` up to the first stop sequence, and whether there was one."""
        ends = [at for at in (text.find(stop) for stop in self.stop) if at >= 0]
        if self.stop_at_newline:
            at = text.find("\n", len(text) - len(text.lstrip()))
            ends += [at] if at >= 0 else []
        return (text[: min(ends)], True) if ends else (text, False)


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer as the model generated it, without its stop sequence.

    Args:
        text: the answer; whitespace at its start is kept.
        finish: "stop" where the model ended it, "length" where it was cut off, "error" where the backend gave up.
        prompt_tokens: tokens of the prompt and query together.
        tokens: tokens of the answer, including its end token. Where it was sampled twice, both counts include both.
        reason: why there is no answer, in the service's words, where the finish is "error".
    """

    text: str
    finish: Finish
    prompt_tokens: int = 0
    tokens: int = 0
    reason: str | None = None


def request_seed(seed: int, query_id: str, sample: int) -> int:
    """Return a 63-bit seed for one sample of one query: the same on every machine and in any order."""
    digest = hashlib.sha256(f"{seed}\0{query_id}\0{sample}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1
