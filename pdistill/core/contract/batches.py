"""The input of a trainer: rows of token ids with their targets and weights.

Position t of a row predicts `targets[t]` from `ids[: t + 1]`. The weights of a batch add up to 1, so that the loss
of every backend is one weighted sum: the mean over the batch's trained tokens, however the batch is split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

TokenIds = Sequence[int]
Loss = Literal["cross_entropy", "soft_cross_entropy", "importance_sampling"]


@dataclass(frozen=True, slots=True)
class HardRow:
    """One example: ids (T,), the next tokens as targets (T,), weights (T,)."""

    ids: TokenIds
    targets: TokenIds
    weights: Sequence[float]


@dataclass(frozen=True, slots=True)
class SoftRow:
    """One example with distributions to match: ids (T,), targets (T, K), probabilities (T, K), weights (T,)."""

    ids: TokenIds
    targets: Sequence[TokenIds]
    probabilities: Sequence[Sequence[float]]
    weights: Sequence[float]


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One rollout: ids (T,), sampled targets (T,), their log-probabilities (T,) in nats, advantages (T,), weights (T,)."""

    ids: TokenIds
    targets: TokenIds
    logprobs: Sequence[float]
    advantages: Sequence[float]
    weights: Sequence[float]


TrainingRow = HardRow | SoftRow | PolicyRow

LOSSES: dict[type[TrainingRow], Loss] = {
    HardRow: "cross_entropy",
    SoftRow: "soft_cross_entropy",
    PolicyRow: "importance_sampling",
}


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one optimizer step, all of one type."""

    rows: Sequence[TrainingRow]

    @property
    def loss(self) -> Loss:
        """The name of the loss for rows of this type."""
        return LOSSES[type(self.rows[0])]

    @property
    def tokens(self) -> int:
        """The number of tokens that the model reads in the step, whether or not the loss is computed on them."""
        return sum(len(row.ids) for row in self.rows)


def hard_row(prompt: TokenIds, target: TokenIds) -> HardRow:
    """Return the row that trains `target` (including its end token) after `prompt`, with weight 1 on each target token."""
    ids = [*prompt, *target]
    weights = [0.0] * (len(prompt) - 1) + [1.0] * len(target)
    return HardRow(ids=ids[:-1], targets=ids[1:], weights=weights)


def hard_batch(rows: Sequence[HardRow]) -> Batch:
    """Return a batch of `rows`, with weights scaled to add up to 1 over the whole batch."""
    total = sum(sum(row.weights) for row in rows)
    return Batch([HardRow(row.ids, row.targets, [weight / total for weight in row.weights]) for row in rows])
