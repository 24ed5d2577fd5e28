"""Cross-entropy behind a frozen output layer: logits exist for a few tokens at a time and are never kept."""

from collections.abc import Callable
from typing import Any

import torch

from pdistill.backends.local.kernels.onednn import matmul_transposed

MAX_LOGITS = 4 << 20
"""Logits (tokens times vocabulary) held at one time."""


def cross_entropy(
    hidden: torch.Tensor,
    output: torch.nn.Linear,
    softcap: float | None,
    targets: torch.Tensor,
    weights: torch.Tensor,
    max_logits: int = MAX_LOGITS,
) -> torch.Tensor:
    """Return the weighted sum, in nats, of the cross-entropy of targets (N,) after hidden states (N, D).

    Args:
        hidden: the input of the output layer.
        output: the output layer, frozen.
        softcap: logits are squeezed into (-softcap, softcap) by tanh; None leaves them unchanged.
        targets: the next tokens.
        weights: one weight per target.
        max_logits: logits held at one time.
    """
    apply: Callable[..., torch.Tensor] = _CrossEntropy.apply
    return apply(hidden, output.weight, output.bias, softcap, targets, weights, max_logits)


class _CrossEntropy(torch.autograd.Function):
    """Computes the gradient together with the loss, so that no logits are kept in between."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        softcap: float | None,
        targets: torch.Tensor,
        weights: torch.Tensor,
        max_logits: int,
    ) -> torch.Tensor:
        rows = max(1, max_logits // weight.shape[0])
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), rows):
            chunk = slice(start, start + rows)
            logits = matmul_transposed(hidden[chunk], weight, bias).float()
            if softcap is not None:
                logits.div_(softcap).tanh_().mul_(softcap)
            softcap_gradient = None if softcap is None else 1 - (logits / softcap).square_()
            normalizers = logits.logsumexp(-1, keepdim=True)
            chunk_targets = targets[chunk, None]
            nats = normalizers - logits.gather(-1, chunk_targets)
            loss += (nats[:, 0] * weights[chunk]).sum()
            logit_gradient = logits.sub_(normalizers).exp_()
            logit_gradient.scatter_add_(-1, chunk_targets, torch.full_like(nats, -1.0)).mul_(weights[chunk, None])
            if softcap_gradient is not None:
                logit_gradient.mul_(softcap_gradient)
            gradient[chunk] = matmul_transposed(logit_gradient.to(weight.dtype), weight.t())
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].to(gradient.dtype), None, None, None, None, None, None
