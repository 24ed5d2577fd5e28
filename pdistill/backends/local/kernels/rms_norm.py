"""RMS norms whose forward and backward passes read their input half as often as transformers' and autograd's."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pdistill.backends.local.kernels.onednn import is_supported


def use_fast_rms_norms(model: nn.Module) -> int:
    """Compute the model's frozen float32 norms of Llama's kind in this module, and return how many there are."""
    norms = [module for module in model.modules() if _is_llama_norm(module)]
    for norm in norms:
        norm.forward = _fast_forward(norm)
    return len(norms)


def _is_llama_norm(module: nn.Module) -> bool:
    if not type(module).__name__.endswith("RMSNorm") or not hasattr(module, "variance_epsilon"):
        return False
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and is_supported(weight) and not weight.requires_grad


def _fast_forward(norm: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    apply: Callable[..., torch.Tensor] = _RMSNorm.apply
    return lambda hidden_states: apply(hidden_states, norm.weight, norm.variance_epsilon)


class _RMSNorm(torch.autograd.Function):
    """x (..., D) over its root mean square, times a frozen weight (D,)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        factor = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, factor)
        outputs: torch.Tensor = (x * factor).mul_(weight)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, factor = ctx.saved_tensors
        scaled = gradients[0] * weight
        projection = torch.linalg.vecdot(scaled, x).unsqueeze(-1).mul_(factor.pow(3)).div_(-x.shape[-1])
        return scaled.mul_(factor).addcmul_(x, projection), None, None
