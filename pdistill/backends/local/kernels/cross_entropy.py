"""The loss behind a frozen output layer; logits exist for a few tokens at a time, and no longer than they are needed."""

from collections.abc import Callable
from typing import Any

import torch

from pdistill.backends.local.kernels.onednn import matmul_transposed

MAX_LOGITS = 4 << 20
"""Logits that exist at a time."""


def cross_entropy(
    hidden: torch.Tensor,
    output: torch.nn.Linear,
    cap: float | None,
    targets: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:
    """Return the weighted sum, in nats, of the targets' (N,) cross-entropy after hidden states (N, D).

    Args:
        hidden: what the output layer is given.
        output: the output layer, frozen.
        cap: logits are bent to stay within plus and minus this; None leaves them.
        targets: the next tokens.
        weights: one for each target.
    """
    apply: Callable[..., torch.Tensor] = _CrossEntropy.apply
    return apply(hidden, output.weight, output.bias, cap, targets, weights)


class _CrossEntropy(torch.autograd.Function):
    """Computes the gradient along with the loss, so that no logits are kept in between."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        cap: float | None,
        targets: torch.Tensor,
        weights: torch.Tensor,
    ) -> torch.Tensor:
        rows = max(1, MAX_LOGITS // weight.shape[0])
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), rows):
            chunk = slice(start, start + rows)
            logits = matmul_transposed(hidden[chunk], weight, bias).float()
            if cap is not None:
                logits.div_(cap).tanh_().mul_(cap)
            bent = None if cap is None else 1 - (logits / cap).square_()
            normalizers = logits.logsumexp(-1, keepdim=True)
            chosen = targets[chunk, None]
            nats = normalizers - logits.gather(-1, chosen)
            loss += (nats[:, 0] * weights[chunk]).sum()
            slopes = logits.sub_(normalizers).exp_()
            slopes.scatter_add_(-1, chosen, torch.full_like(nats, -1.0)).mul_(weights[chunk, None])
            if bent is not None:
                slopes.mul_(bent)
            gradient[chunk] = matmul_transposed(slopes.to(weight.dtype), weight.t())
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].to(gradient.dtype), None, None, None, None, None
