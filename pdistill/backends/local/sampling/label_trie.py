"""Keeps answers to given targets: at each token only those may be chosen with which a target goes on."""

from collections.abc import Sequence

import torch

from pdistill.core.batches import TokenIds


class LabelTrie:
    """The tokens that may follow each beginning of some targets, row by row.

    Args:
        targets: for each row, the ids of the targets, each with the token that ends it.
    """

    def __init__(self, targets: Sequence[Sequence[TokenIds]]) -> None:
        made: dict[tuple[tuple[int, ...], ...], dict[tuple[int, ...], list[int]]] = {}
        self._following = []
        for row in targets:
            known = tuple(tuple(ids) for ids in row)
            if known not in made:
                made[known] = _following(known)
            self._following.append(made[known])

    def keep(self, logits: torch.Tensor, rows: Sequence[int], answers: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the logits (B, V) of `rows` with -inf for all tokens with which no target goes on.

        Args:
            answers: the tokens of each row's answer so far.
        """
        kept = torch.full_like(logits, -torch.inf)
        for place, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            following = self._following[row][tuple(answer)]
            kept[place, following] = logits[place, following]
        return kept


def _following(targets: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], list[int]]:
    found: dict[tuple[int, ...], set[int]] = {}
    for ids in targets:
        for place, token in enumerate(ids):
            found.setdefault(ids[:place], set()).add(token)
    return {begun: sorted(tokens) for begun, tokens in found.items()}
