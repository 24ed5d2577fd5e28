"""The kernels of training: each gives what torch's gives, forward and backward."""

from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from pdistill.backends.local.kernels import onednn
from pdistill.backends.local.kernels.cross_entropy import cross_entropy
from pdistill.backends.local.kernels.rms_norm import use_fast_rms_norms


@pytest.fixture(params=[True, False], ids=["onednn", "plain"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(onednn, "_has_onednn", lambda: False)


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.usefixtures("kernels")
def test_products_take_transposed_matrices_too() -> None:
    left, right, bias, other = random(33, 20), random(7, 20, seed=2), random(7), random(33, 7, seed=3)
    assert torch.allclose(onednn.matmul_transposed(left, right, bias), left @ right.t() + bias, atol=1e-5)
    assert torch.allclose(onednn.matmul_transposed(left.t(), other.t()), left.t() @ other, atol=1e-5)
    kept = other.clone()
    assert torch.allclose(onednn.add_matmul_transposed(other, left, right), kept + left @ right.t(), atol=1e-5)
    assert torch.equal(other, kept)


def test_products_of_other_types_are_torchs() -> None:
    left, right = random(5, 20).bfloat16(), random(7, 20).bfloat16()
    assert torch.equal(onednn.matmul_transposed(left, right), functional.linear(left, right))


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the size of the largest tensor that is made."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        if isinstance(given, torch.Tensor):
            self.size = max(self.size, given.numel())
        return given


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("most", [1, 1000, 1 << 20])
def test_cross_entropy_is_torchs_a_few_tokens_at_a_time(softcap: float | None, most: int) -> None:
    output = torch.nn.Linear(16, 300).requires_grad_(False)
    output.weight.copy_(random(300, 16))
    hidden, again = random(40, 16).requires_grad_(), random(40, 16).requires_grad_()
    targets = torch.randint(0, 300, (40,), generator=torch.Generator().manual_seed(2))
    weights = random(40, seed=4).abs()
    logits = output(again) if softcap is None else (output(again) / softcap).tanh() * softcap
    expected = (functional.cross_entropy(logits, targets, reduction="none") * weights).sum()
    with Largest() as largest:  # type: ignore[no-untyped-call]
        loss = cross_entropy(hidden, output, softcap, targets, weights, most)
        torch.autograd.backward(loss * 2)
    torch.autograd.backward(expected * 2)
    assert hidden.grad is not None
    assert again.grad is not None
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(hidden.grad, again.grad, atol=1e-4)
    assert largest.size <= max(most, 300 * 16)


def test_frozen_norms_of_llamas_kind_are_replaced_with_the_same_results() -> None:
    from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    ours, theirs = LlamaRMSNorm(24, 1e-5), LlamaRMSNorm(24, 1e-5)
    for norm in (ours, theirs):
        norm.requires_grad_(False).weight.copy_(random(24, seed=6))
    assert use_fast_rms_norms(torch.nn.ModuleList([ours, Gemma3RMSNorm(24), torch.nn.LayerNorm(24)])) == 1
    x, y = random(3, 5, 24).requires_grad_(), random(3, 5, 24).requires_grad_()
    torch.autograd.backward((ours(x) * random(5, 24, seed=7)).sum())
    torch.autograd.backward((theirs(y) * random(5, 24, seed=7)).sum())
    assert torch.allclose(ours(x), theirs(y), atol=1e-5)
    assert x.grad is not None
    assert y.grad is not None
    assert torch.allclose(x.grad, y.grad, atol=1e-5)
    trained = LlamaRMSNorm(24, 1e-5)
    assert use_fast_rms_norms(trained) == 0
