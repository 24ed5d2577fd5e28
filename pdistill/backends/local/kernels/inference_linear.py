"""Linear layers for inference, computed by the fastest matrix product that the machine has."""

import torch
from torch import nn

from pdistill.backends.local.kernels.onednn import is_supported, matmul_transposed


class InferenceLinear(nn.Module):
    """A linear layer that shares another one's weights; invisible to autograd."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return outputs (..., N) for inputs (..., K)."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        return matmul_transposed(rows, self.weight, self.bias).view(*inputs.shape[:-1], -1)


def use_inference_linears(model: nn.Module) -> None:
    """Replace the model's linear layers with `InferenceLinear`, where their dtype and device allow it."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and is_supported(child.weight):
                setattr(module, name, InferenceLinear(child))
