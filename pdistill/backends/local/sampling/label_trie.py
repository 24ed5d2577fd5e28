"""Restricts answers to labels: only tokens that continue a label may be chosen."""

from collections.abc import Sequence

import torch

from pdistill.core.contract.batches import TokenIds


class LabelTrie:
    """The tokens that may follow each prefix of the labels, row by row.

    Args:
        labels: for each row, the ids of its labels, each with its end token.
    """

    def __init__(self, labels: Sequence[Sequence[TokenIds]]) -> None:
        tries: dict[tuple[tuple[int, ...], ...], dict[tuple[int, ...], list[int]]] = {}
        self._continuations = []
        for row in labels:
            key = tuple(tuple(ids) for ids in row)
            if key not in tries:
                tries[key] = _continuations(key)
            self._continuations.append(tries[key])

    def mask(self, logits: torch.Tensor, rows: Sequence[int], answers: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the logits (B, V) of `rows` with -inf for all tokens that continue no label.

        Args:
            logits: the logits.
            rows: row numbers.
            answers: the tokens of each row's answer so far.
        """
        masked = torch.full_like(logits, -torch.inf)
        for index, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            tokens = self._continuations[row][tuple(answer)]
            masked[index, tokens] = logits[index, tokens]
        return masked


def _continuations(labels: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], list[int]]:
    tokens: dict[tuple[int, ...], set[int]] = {}
    for ids in labels:
        for position, token in enumerate(ids):
            tokens.setdefault(ids[:position], set()).add(token)
    return {prefix: sorted(following) for prefix, following in tokens.items()}
