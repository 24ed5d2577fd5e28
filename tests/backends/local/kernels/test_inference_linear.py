"""Linear layers for inference give what torch's give, from the same weights."""

import pytest
import torch
from torch import nn

from pdistill.backends.local.kernels.inference_linear import InferenceLinear, use_inference_linears


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_the_same_outputs_from_the_same_memory(bias: bool) -> None:
    model = nn.Sequential(nn.Linear(24, 40, bias=bias), nn.Sequential(nn.SiLU(), nn.Linear(40, 8, bias=bias)))
    inputs = torch.randn(2, 5, 24)
    expected, weight = model(inputs), model[0].weight
    use_inference_linears(model)
    assert isinstance(model[0], InferenceLinear)
    assert model[0].weight is weight
    torch.testing.assert_close(model(inputs), expected, atol=1e-5, rtol=1e-5)


def test_other_types_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 4, dtype=torch.bfloat16))
    use_inference_linears(model)
    assert type(model[0]) is nn.Linear
