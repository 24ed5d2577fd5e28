"""The answers of a network, given a prompt."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer

from pretrain.layout import Group, Query, lay_out
from pretrain.network import Network
from pretrain.policy import Case
from pretrain.stream import Encoder

AT_ONCE = 128


class Answerer:
    """The whole answers, up to the end of the turn, decoded greedily."""

    def __init__(self, network: Network, tokenizer: Tokenizer) -> None:
        self.network = network.eval()
        self.encoder = Encoder(tokenizer)
        self.tokenizer = tokenizer

    def labels(self, prompt: str | None, cases: list[Case]) -> list[str]:
        """For each case the first token, if the turn ends after it; an empty string for any longer answer."""
        system = [] if prompt is None else self.encoder.prompt(prompt)
        found: list[str] = []
        for start in range(0, len(cases), AT_ONCE):
            queries = [self.encoder.query(case.text, "ot") for case in cases[start : start + AT_ONCE]]
            first = self._next(system, queries, 0)
            asked = [
                Query([*query.ids[:-2], token, query.ids[-1]], 2) for query, token in zip(queries, first, strict=True)
            ]
            second = self._next(system, asked, 1)
            for token, end in zip(first, second, strict=True):
                found.append(self.tokenizer.decode([token]).strip() if end == self.encoder.end else "")
        return found

    @torch.no_grad()
    def right(self, prompt: str, cases: list[Case], expected: list[str]) -> list[bool]:
        """For each case whether the answer is the expected label and nothing more; half the work of `labels`."""
        system = self.encoder.prompt(prompt)
        found: list[bool] = []
        for start in range(0, len(cases), AT_ONCE):
            pairs = zip(cases[start : start + AT_ONCE], expected[start : start + AT_ONCE], strict=True)
            batch = lay_out(
                [Group(system, [self.encoder.query(case.text, label) for case, label in pairs])], self.network.dtype
            )
            hits = self.network(batch.ids, batch.layout).logits.argmax(-1) == batch.targets
            found += (hits[batch.firsts] & hits[batch.firsts + 1]).tolist()
        return found

    @torch.no_grad()
    def _next(self, system: list[int], queries: list[Query], place: int) -> list[int]:
        """The most likely token at one position of each answer."""
        batch = lay_out([Group(system, queries)], self.network.dtype)
        logits = self.network(batch.ids, batch.layout).logits
        chosen: list[int] = logits[batch.firsts + place].argmax(-1).tolist()
        return chosen
