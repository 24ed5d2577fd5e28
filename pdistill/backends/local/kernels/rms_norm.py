"""RMS norms whose forward and backward pass go over their input half as often as transformers' and autograd's."""

from collections.abc import Callable
from typing import Any

import torch

from pdistill.backends.local.kernels.onednn import is_supported


def use_fast_rms_norms(model: Any) -> int:
    """Return how many norms of the model are computed here from now on: frozen ones of Llama's kind, in float32."""
    norms = [module for module in model.modules() if _fits(module)]
    for norm in norms:
        norm.forward = _forward_of(norm)
    return len(norms)


def _fits(module: Any) -> bool:
    if not type(module).__name__.endswith("RMSNorm") or not hasattr(module, "variance_epsilon"):
        return False
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and is_supported(weight) and not weight.requires_grad


def _forward_of(norm: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    apply: Callable[..., torch.Tensor] = _Norm.apply
    return lambda hidden_states: apply(hidden_states, norm.weight, norm.variance_epsilon)


class _Norm(torch.autograd.Function):
    """x (..., D) over the root of its mean square, times a frozen weight (D,)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        factor = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, factor)
        answer: torch.Tensor = (x * factor).mul_(weight)
        return answer

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, factor = ctx.saved_tensors
        slope = gradients[0] * weight
        along = torch.linalg.vecdot(slope, x).unsqueeze(-1).mul_(factor.pow(3)).div_(-x.shape[-1])
        return slope.mul_(factor).addcmul_(x, along), None, None
