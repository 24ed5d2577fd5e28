"""The answers of a group of requests while they are being generated."""

from collections.abc import Sequence

import torch

from pdistill.backends.local.model.stop_rules import StopRules
from pdistill.backends.local.sampling.label_trie import LabelTrie
from pdistill.backends.local.sampling.token_sampler import TokenSampler
from pdistill.core.contract.sampling import Completion


class PartialAnswers:
    """The answers of a group of rows.

    Args:
        stop_rules: what ends them.
        seeds: one per row.
        label_trie: what restricts them to labels; None where they are free.
    """

    def __init__(self, stop_rules: StopRules, seeds: Sequence[int], label_trie: LabelTrie | None = None) -> None:
        self._stop_rules = stop_rules
        self._token_sampler = TokenSampler(stop_rules.sampling, seeds)
        self._label_trie = label_trie
        self._answers: list[list[int]] = [[] for _ in seeds]
        self._finished: list[tuple[int, Completion]] = []

    def choose(self, rows: Sequence[int], logits: torch.Tensor) -> list[int | None]:
        """Return the next token of each row, given their logits (B, V); None where this token ends the answer."""
        if self._label_trie is not None:
            logits = self._label_trie.mask(logits, rows, [self._answers[row] for row in rows])
        chosen: list[int | None] = []
        for row, token in zip(rows, self._token_sampler.sample(logits, rows), strict=True):
            self._answers[row].append(token)
            completion = self._stop_rules.completion(self._answers[row])
            if completion is not None:
                self._finished.append((row, completion))
            chosen.append(token if completion is None else None)
        return chosen

    def text(self, row: int) -> str:
        """Return the text of a row's answer so far."""
        return self._stop_rules.decode(self._answers[row])

    def take_finished(self) -> list[tuple[int, Completion]]:
        """Return (row, answer) for the answers that have finished since the last call."""
        finished, self._finished = self._finished, []
        return finished
