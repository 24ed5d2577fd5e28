"""A prefix that many rows share: its keys and values are computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

KeyValues = tuple[torch.Tensor, torch.Tensor]


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
