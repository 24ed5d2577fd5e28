"""LoRA layers whose forward and backward passes allocate no more matrices than they need; names and weights stay PEFT's."""

from collections.abc import Callable
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import nn

from pdistill.backends.local.kernels.onednn import add_matmul_transposed, is_supported, matmul_transposed

ADAPTER = "default"


def use_fast_lora_layers(student: nn.Module) -> int:
    """Compute the student's plain LoRA layers on frozen float32 linears in this module, and return how many there are."""
    layers: list[Any] = [module for module in student.modules() if type(module) is Linear and _is_plain(module)]
    for layer in layers:
        layer.forward = _fast_forward(layer)
    return len(layers)


def _is_plain(layer: Any) -> bool:
    inner = layer.base_layer
    return (
        type(inner) is nn.Linear
        and not inner.weight.requires_grad
        and is_supported(inner.weight)
        and is_supported(layer.lora_A[ADAPTER].weight)
        and list(layer.active_adapters) == [ADAPTER]
        and ADAPTER not in layer.lora_variant
        and isinstance(layer.lora_dropout[ADAPTER], nn.Identity)
        and not layer.lora_bias[ADAPTER]
    )


def _fast_forward(layer: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    inner, a, b = layer.base_layer, layer.lora_A[ADAPTER], layer.lora_B[ADAPTER]
    scale = float(layer.scaling[ADAPTER])
    apply: Callable[..., torch.Tensor] = _LoraLinear.apply

    def forward(x: torch.Tensor) -> torch.Tensor:
        return apply(x, inner.weight, inner.bias, a.weight, b.weight, scale)

    return forward


class _LoraLinear(torch.autograd.Function):
    """x (..., I) by a frozen weight (O, I) and bias (O,), plus scale times x by a (R, I), then by b (O, R)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low = matmul_transposed(rows, a)
        scaled_b = b * scale
        ctx.save_for_backward(rows, low, weight, a, scaled_b)
        ctx.scale = scale
        return add_matmul_transposed(matmul_transposed(rows, weight, bias), low, scaled_b).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, low, weight, a, scaled_b = ctx.saved_tensors
        gradient = gradients[0].reshape(-1, weight.shape[0])
        low_gradient = matmul_transposed(gradient, scaled_b.t())
        a_gradient = matmul_transposed(low_gradient.t(), rows.t())
        b_gradient = matmul_transposed(low.t(), gradient.t()).t().mul(ctx.scale)
        x_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = add_matmul_transposed(matmul_transposed(gradient, weight.t()), low_gradient, a.t())
            x_gradient = x_gradient.view(*gradients[0].shape[:-1], -1)
        return x_gradient, None, None, a_gradient, b_gradient, None
