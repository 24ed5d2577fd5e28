"""Chooses the next token of each row: the most likely one, or one drawn with the row's own random numbers."""

from collections.abc import Sequence

import torch

from pdistill.core.contract.sampling import Sampling


class TokenSampler:
    """Chooses tokens for rows with one seed per row, so that no answer depends on the batch that it is drawn in.

    A token is drawn with one number and the cumulative probabilities in the order of token ids, not of probability:
    there, a rounding error could swap two tokens of similar probability, and so change the draw.
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int]) -> None:
        self.sampling = sampling
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds] if sampling.temperature > 0 else []

    def sample(self, logits: torch.Tensor, rows: Sequence[int]) -> list[int]:
        """Return a token for each of `rows`, given their logits (B, V)."""
        if not self.generators:
            greedy: list[int] = logits.argmax(-1).tolist()
            return greedy
        probabilities = torch.softmax(logits.double() / self.sampling.temperature, -1)
        if self.sampling.top_p < 1.0:
            probabilities = self._nucleus(probabilities)
        numbers = torch.stack([torch.rand(1, generator=self.generators[row], dtype=torch.float64) for row in rows])
        sums = probabilities.cumsum(-1)
        tokens = torch.searchsorted(sums, numbers.to(sums.device) * sums[:, -1:], right=True)
        drawn: list[int] = tokens[:, 0].clamp(max=sums.shape[-1] - 1).tolist()
        return drawn

    def _nucleus(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Return the probabilities (B, V) of the most likely tokens that make up `top_p`; those of all others are 0."""
        ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        kept = torch.where(ordered.cumsum(-1) - ordered < self.sampling.top_p, ordered, 0.0)
        return torch.zeros_like(probabilities).scatter_(-1, tokens, kept)
