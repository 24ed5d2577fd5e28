"""A stored answer: the row of responses.jsonl, predictions-ARM.jsonl and the files of the probes."""

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Self, get_args

from pdistill.core.contract.interfaces import TokenScores
from pdistill.core.contract.jsontext import Row
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion, Finish, Key

TEXTS, COUNTS = ("id", "query", "prompt", "response"), ("number", "sample", "prompt_tokens", "tokens")
VALUES = attrgetter(*TEXTS, *COUNTS)
"""Returns the values with these names all at once: a run reads each of its rows several times."""
KINDS = (*[str] * len(TEXTS), *[int] * len(COUNTS))
FINISHES = get_args(Finish)


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One answer of one model to one query.

    Args:
        number: of the query, as are `id` and `query`, the text as the task defines it.
        prompt: the hash of the model's whole input.
        response: the answer, without its stop sequence.
        finish: "stop", "length" or "error".
        prompt_tokens: tokens of the input.
        tokens: tokens of the answer.
        sample: the number of the sample.
        scores: the log-probabilities of a given text, where the request was to score one.
        reused: whether it was copied from another run or stage, at no cost.
        reason: why there is no answer, in the service's words, where it gave some.

    Raises:
        TypeError: a value is of another type; so nothing untyped is stored, and nothing untyped is read.
    """

    number: int
    id: str
    query: str
    prompt: str
    response: str
    finish: Finish
    prompt_tokens: int
    tokens: int
    sample: int = 0
    scores: TokenScores | None = None
    reused: bool = False
    reason: str | None = None

    def __post_init__(self) -> None:
        if tuple(map(type, VALUES(self))) != KINDS or self.reason is not None or self.finish not in FINISHES:
            self._check_each()

    def _check_each(self) -> None:
        for name in TEXTS:
            _check(name, getattr(self, name), str)
        for name in COUNTS:
            _check(name, getattr(self, name), int)
        if self.reason is not None:
            _check("reason", self.reason, str)
        if self.finish not in FINISHES:
            raise TypeError(f"finish is {self.finish!r:.40}, not one of {', '.join(FINISHES)}")

    @property
    def key(self) -> Key:
        """The key of the answer."""
        return Key(self.number, self.sample)

    @property
    def completion(self) -> Completion:
        """The answer as the model generated it."""
        return Completion(self.response, self.finish, self.prompt_tokens, self.tokens, self.reason)

    def reused_for(self, query: Query) -> Self:
        """Return the row as a reused answer to this query."""
        return replace(self, number=query.number, id=query.id, query=query.text, reused=True)

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the answer in a row."""
        values = dict(row)
        if "logprobs" in values:
            logprobs, ids, top = (values.pop(name) for name in ("logprobs", "top_ids", "top_logprobs"))
            values["scores"] = TokenScores(tuple(logprobs), tuple(map(tuple, ids)), tuple(map(tuple, top)))
        return cls(**values)

    def as_row(self) -> dict[str, object]:
        """Return the answer as a row, which contains the number of the sample unless it is the first."""
        row: dict[str, object] = {
            "number": self.number,
            "id": self.id,
            "query": self.query,
            "prompt": self.prompt,
            "response": self.response,
            "finish": self.finish,
            "prompt_tokens": self.prompt_tokens,
            "tokens": self.tokens,
        }
        if self.sample:
            row["sample"] = self.sample
        if self.scores is not None:
            row["logprobs"] = _rounded(self.scores.logprobs)
            row["top_ids"] = [list(ids) for ids in self.scores.top_ids]
            row["top_logprobs"] = [_rounded(position) for position in self.scores.top_logprobs]
        if self.reused:
            row["reused"] = True
        if self.reason is not None:
            row["reason"] = self.reason
        return row


def _check(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r:.40}, which is not of type {kind.__name__}")


def _rounded(logprobs: tuple[float, ...]) -> list[float]:
    return [round(logprob, 6) for logprob in logprobs]
