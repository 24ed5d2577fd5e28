"""The two forms of the torch engine (cascade, padded) in common: rows of tokens are run after a prefix that they share."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from pdistill.core.contract.batches import TokenIds

KeyValues = tuple[torch.Tensor, torch.Tensor]

TokenChooser = Callable[[Sequence[int], torch.Tensor], Sequence[int | None]]
"""Takes row numbers (B) and their logits (B, V); returns each row's next token, or None where the row has finished."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The keys and values of a prefix.

    Args:
        layers: keys and values (1, K, P, D) of each layer, for the last P tokens: all of them, or as many as the layer's
            sliding window can still reach.
        length: tokens of the whole prefix.
    """

    layers: Sequence[KeyValues]
    length: int


class TorchEngine(Protocol):
    """Runs one model by torch. An engine of another kind, such as vLLM, implements `Sampler` and `Scorer` instead."""

    def prefix(self, ids: TokenIds) -> Prefix:
        """Return the keys and values of a prefix."""

    def decode(
        self, rows: Sequence[TokenIds], prefix: Prefix | None, max_new_tokens: int, choose: TokenChooser
    ) -> Iterator[None]:
        """Run every row for as long as `choose` returns a token for it, and yield after each step."""

    def logits(
        self, rows: Sequence[TokenIds], prefix: Prefix | None, keep: Sequence[int]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (row number, logits (keep, V) of its last `keep` tokens) for every row."""
