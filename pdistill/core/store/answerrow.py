"""An answer as it is stored: the row of responses.jsonl, predictions-ARM.jsonl and the files of the probes."""

from dataclasses import dataclass, replace
from typing import Any, Self

from pdistill.core.contract.interfaces import TokenScores
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion, Finish, Key
from pdistill.core.store.rows import Row


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One answer of one model to one query.

    Args:
        number: of the query; `id` and `query` likewise, the text as the task has it.
        prompt: the hash of all that the model was given.
        response: the answer, without its stop text.
        finish: "stop", "length" or "error".
        prompt_tokens: tokens of the input.
        tokens: tokens of the answer.
        sample: which of several samples.
        scores: the log-probabilities of a given text, where that is what was asked for.
        reused: whether it was taken from elsewhere and cost nothing.
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

    @property
    def key(self) -> Key:
        """Which answer it is."""
        return Key(self.number, self.sample)

    @property
    def completion(self) -> Completion:
        """The answer as the model gave it."""
        return Completion(self.response, self.finish, self.prompt_tokens, self.tokens)

    def reused_for(self, query: Query) -> Self:
        """Return the row as the answer to this query, taken over."""
        return replace(self, number=query.number, id=query.id, query=query.text, reused=True)

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the answer that a row holds."""
        values = dict(row)
        if "logprobs" in values:
            logprobs, ids, top = (values.pop(name) for name in ("logprobs", "top_ids", "top_logprobs"))
            values["scores"] = TokenScores(tuple(logprobs), tuple(map(tuple, ids)), tuple(map(tuple, top)))
        return cls(**values)

    def as_row(self) -> dict[str, Any]:
        """Return the row; the sample is named where it is not the first."""
        row: dict[str, Any] = {
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
            row["top_logprobs"] = [_rounded(place) for place in self.scores.top_logprobs]
        if self.reused:
            row["reused"] = True
        return row


def _rounded(logprobs: tuple[float, ...]) -> list[float]:
    return [round(logprob, 6) for logprob in logprobs]
