"""Linear layers of a model that is only asked, by the fastest matmul_transposed that the machine has."""

from typing import Any

import torch
from torch import nn

from pdistill.backends.local.kernels.onednn import is_supported, matmul_transposed


class InferenceLinear(nn.Module):
    """A linear layer around another one's weights; autograd does not see it."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return outputs (..., N) of inputs (..., K)."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        return matmul_transposed(rows, self.weight, self.bias).view(*inputs.shape[:-1], -1)


def use_inference_linears(model: Any) -> None:
    """Guarantee that the model's linear layers are those of above, where its type and device are is_supported."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and is_supported(child.weight):
                setattr(module, name, InferenceLinear(child))
