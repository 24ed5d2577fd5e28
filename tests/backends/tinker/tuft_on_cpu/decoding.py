"""How a token is chosen from logits, and when an answer ends."""

from collections.abc import Sequence
from typing import Any

import torch

LAST_TOKENS = 32
"""Tokens at an answer's end in which a stop text is looked for."""


def choose(logits: torch.Tensor, params: Any, generator: torch.Generator | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the next token ids (N,) and the log probabilities (N, V) at the temperature that is asked for.

    Args:
        logits: (N, V), one row per answer.
        params: the request's `SamplingParams`; at temperature 0 the most likely token is chosen.
        generator: None samples without a seed.
    """
    if params.temperature == 0:
        logprobs = torch.log_softmax(logits, -1)
        return logprobs.argmax(-1), logprobs
    logprobs = torch.log_softmax(logits / params.temperature, -1)
    probabilities = logprobs.exp()
    if params.top_k > 0:
        lowest = probabilities.topk(params.top_k, -1).values[:, -1:]
        probabilities = torch.where(probabilities >= lowest, probabilities, 0)
    if params.top_p < 1:
        ordered, places = probabilities.sort(-1, descending=True)
        ordered[ordered.cumsum(-1) - ordered > params.top_p] = 0
        probabilities = torch.zeros_like(probabilities).scatter(-1, places, ordered)
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0], logprobs


class StopRules:
    """The tokens and texts that end an answer.

    Args:
        stop: a text, texts or token ids; None means the model's own end.
        tokenizer: the model's.
    """

    def __init__(self, stop: str | Sequence[str | int] | None, tokenizer: Any) -> None:
        rules = [tokenizer.eos_token_id] if stop is None else [stop] if isinstance(stop, str) else stop
        self._ids = {rule for rule in rules if isinstance(rule, int)}
        self._texts = [rule for rule in rules if isinstance(rule, str)]
        self._tokenizer = tokenizer

    def met(self, answer: Sequence[int]) -> bool:
        """Return whether an answer ends with its last token."""
        if answer[-1] in self._ids:
            return True
        if not self._texts:
            return False
        end = self._tokenizer.decode(answer[-LAST_TOKENS:])
        return any(text in end for text in self._texts)
