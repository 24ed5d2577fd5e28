"""The optimizer: Muon for matrices, Adam for embeddings, norms and biases."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.network import Network


def orthogonal(update: Tensor, steps: int = 5) -> Tensor:
    """A batch of matrices with their singular values pushed towards one (Newton-Schulz)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x: Tensor = update / (update.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    result: Tensor = x.mT if tall else x
    return result


class Optimizer:
    """One step for all parameters; its state can be stored and restored."""

    def __init__(
        self, network: Network, probes: nn.Module, matrix_rate: float = 0.015, other_rate: float = 0.002
    ) -> None:
        self.matrix_rate, self.other_rate = matrix_rate, other_rate
        named = list(network.named_parameters())
        self.matrices = [p for name, p in named if p.dim() == 2 and "embed" not in name]
        self.others = [p for name, p in named if p.dim() != 2 or "embed" in name] + list(probes.parameters())
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        self.first = [torch.zeros_like(p) for p in self.others]
        self.second = [torch.zeros_like(p) for p in self.others]
        self.steps = 0
        self.by_shape: dict[torch.Size, list[int]] = defaultdict(list)
        for index, matrix in enumerate(self.matrices):
            self.by_shape[matrix.shape].append(index)

    @torch.no_grad()
    def step(self, share: float, dtype: torch.dtype) -> None:
        """Apply the gradients at a share of the full rates, and clear them."""
        self.steps += 1
        torch.nn.utils.clip_grad_norm_([*self.matrices, *self.others], 1.0)
        for shape, indices in self.by_shape.items():
            updates = []
            for index in indices:
                gradient = self.matrices[index].grad
                assert gradient is not None
                self.momentum[index].mul_(0.95).add_(gradient)
                updates.append(gradient + 0.95 * self.momentum[index])
            scale = math.sqrt(max(1.0, shape[0] / shape[1]))
            directions = orthogonal(torch.stack(updates).to(dtype)).float()
            rate = self.matrix_rate * share
            for index, direction in zip(indices, directions, strict=True):
                self.matrices[index].mul_(1 - rate * 0.05).add_(direction, alpha=-rate * scale)
        self._adam(self.other_rate * share)
        for parameter in [*self.matrices, *self.others]:
            parameter.grad = None

    def _adam(self, rate: float) -> None:
        fast, slow = 0.9, 0.98
        for parameter, first, second in zip(self.others, self.first, self.second, strict=True):
            gradient = parameter.grad
            assert gradient is not None
            first.mul_(fast).add_(gradient, alpha=1 - fast)
            second.mul_(slow).addcmul_(gradient, gradient, value=1 - slow)
            scale = math.sqrt(1 - slow**self.steps) / (1 - fast**self.steps)
            parameter.addcdiv_(first, second.sqrt().add_(1e-8), value=-rate * scale)

    def state(self) -> dict[str, Any]:
        """Everything that a later run needs to resume."""
        return {"momentum": self.momentum, "first": self.first, "second": self.second, "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a stored state."""
        self.steps = state["steps"]
        for name in ("momentum", "first", "second"):
            for own, stored in zip(getattr(self, name), state[name], strict=True):
                own.copy_(stored)
