"""Runs padded training rows, which every causal language model of transformers can do."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch.nn import functional

from pdistill.core.contract.batches import HardRow

MAX_LOGITS_PER_PART = 32 << 20
"""Most logits (trained tokens times vocabulary) of a part of a batch."""


class PaddedRunner:
    """Runs a student over rows that are padded on their right, where no token sees the padding."""

    def __init__(self, student: Any) -> None:
        self.student = student
        self.device = student.device
        self.max_trained: float = MAX_LOGITS_PER_PART // student.get_output_embeddings().weight.shape[0]

    def size(self, lengths: Sequence[int]) -> int:
        """Return how many tokens rows of these lengths take."""
        return len(lengths) * max(lengths)

    def backward(self, rows: Sequence[HardRow]) -> float:
        """Return the rows' share of the loss in nats, and add their share of the gradient.

        Only the hidden states of trained positions go through the output layer.
        """
        width = max(len(row.ids) for row in rows)
        ids = [[*row.ids, *[0] * (width - len(row.ids))] for row in rows]
        weights = list(chain.from_iterable([*row.weights, *[0.0] * (width - len(row.ids))] for row in rows))
        targets = list(chain.from_iterable([*row.targets, *[0] * (width - len(row.ids))] for row in rows))
        trained = [position for position, weight in enumerate(weights) if weight]
        if not trained:
            return 0.0
        positions = torch.tensor(trained, device=self.device)
        with self.student.get_output_embeddings().register_forward_pre_hook(
            lambda _, inputs: (inputs[0].flatten(0, -2)[positions],)
        ):
            logits = self.student(input_ids=torch.tensor(ids, device=self.device), use_cache=False).logits
        nats = functional.cross_entropy(
            logits.float(),
            torch.tensor([targets[position] for position in trained], device=self.device),
            reduction="none",
        )
        loss = (nats * torch.tensor([weights[position] for position in trained], device=self.device)).sum()
        torch.autograd.backward(loss)
        return loss.item()
