"""Picks the next token of each row: the likeliest, or one drawn by the row's own random numbers."""

from collections.abc import Sequence

import torch

from pdistill.core.sampling import Sampling


class TokenSampler:
    """Picks tokens for rows of which each has its own seed, so that no answer depends on the batch it is drawn in.

    A token is drawn by one number and the sums of the probabilities in the order of the token ids, not of their size:
    there, a rounding error could swap two tokens of like probability, and so the draw.
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int]) -> None:
        self.sampling = sampling
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds] if sampling.temperature > 0 else []

    def sample(self, logits: torch.Tensor, rows: Sequence[int]) -> list[int]:
        """Return a token for each of `rows`, whose logits (B, V) these are."""
        if not self.generators:
            greedy: list[int] = logits.argmax(-1).tolist()
            return greedy
        probabilities = torch.softmax(logits.double() / self.sampling.temperature, -1)
        if self.sampling.top_p < 1.0:
            probabilities = self._likeliest(probabilities)
        numbers = torch.stack([torch.rand(1, generator=self.generators[row], dtype=torch.float64) for row in rows])
        sums = probabilities.cumsum(-1)
        places = torch.searchsorted(sums, numbers.to(sums.device) * sums[:, -1:], right=True)
        drawn: list[int] = places[:, 0].clamp(max=sums.shape[-1] - 1).tolist()
        return drawn

    def _likeliest(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Return the probabilities (B, V) of the likeliest tokens that make `top_p` together; those of all others are 0."""
        ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        kept = torch.where(ordered.cumsum(-1) - ordered < self.sampling.top_p, ordered, 0.0)
        return torch.zeros_like(probabilities).scatter_(-1, tokens, kept)
