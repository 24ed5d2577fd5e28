"""Picks the next token of each row: the likeliest, or one drawn by the row's own random numbers."""

from collections.abc import Sequence

import torch

from pdistill.core.sampling import Sampling


class Drawer:
    """Picks tokens for rows of which each has its own seed, so that no answer depends on the batch it is drawn in."""

    def __init__(self, sampling: Sampling, seeds: Sequence[int]) -> None:
        self.sampling = sampling
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds] if sampling.temperature > 0 else []

    def pick(self, logits: torch.Tensor, rows: Sequence[int]) -> list[int]:
        """Return a token for each of `rows`, whose logits (B, V) these are."""
        if not self.generators:
            greedy: list[int] = logits.argmax(-1).tolist()
            return greedy
        probabilities = torch.softmax(logits.cpu().double() / self.sampling.temperature, -1)
        ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        sums = ordered.cumsum(-1)
        kept = torch.where(sums - ordered < self.sampling.top_p, ordered, 0.0).cumsum(-1)
        numbers = torch.stack([torch.rand(1, generator=self.generators[row], dtype=torch.float64) for row in rows])
        places = torch.searchsorted(kept, numbers * kept[:, -1:], right=True).clamp(max=kept.shape[-1] - 1)
        drawn: list[int] = tokens.gather(-1, places)[:, 0].tolist()
        return drawn
