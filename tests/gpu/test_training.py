"""Packed rows against padded ones, recomputed layers against kept ones, a batch in parts against the whole batch.

In 16 bits, the losses and gradients of packed rows may be at most twice as far from those of float32 as the losses and
gradients of padded rows in the same dtype are.
"""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.gpu import internals
from tests.gpu.device import HALVES, ON_GPU, has_flash_attention, strictly_deterministic
from tests.gpu.internals import PackedRunner, PaddedRunner
from tests.gpu.rows import LORA, batch, training_rows

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma3", "gpt2")
STEPS = 6
FLOOR = {"bfloat16": 0.02, "float16": 0.003}
"""Error that is allowed even where padded rows happen to be exact, as a fraction."""


def can_run_packed_rows(dtype: str) -> bool:
    """Whether the device has the attention that packed rows need: on a GPU, flash attention in 16 bits."""
    return not ON_GPU or (dtype != "float32" and has_flash_attention())


def loss_and_gradient(runner: Any) -> tuple[float, torch.Tensor]:
    """The loss in nats and the gradient, from one pass over all rows."""
    loss: float = runner.backward(training_rows())
    return loss, internals.gradients(runner.student)


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


def trained(folder: Path, directory: Path, device: str, dtype: internals.Dtype, **options: Any) -> Any:
    """The losses of some steps on the same rows, the adapter's weights after them, and the runner."""
    with internals.student(folder, directory, device, dtype, **options).trainer(LORA, None) as worker:
        losses = [worker.step(batch(), 5e-3).result().loss for _ in range(STEPS)]
        return losses, internals.weights(worker.student), worker.runner


@pytest.mark.parametrize("family", [*FAMILIES, "bloom"])
@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_rows_are_packed_where_flash_attention_supports_them(
    folders: dict[str, Path],
    device: str,
    family: str,
    dtype: internals.Dtype,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        caplog.at_level(logging.WARNING, "pdistill"),
        internals.student(folders[family], tmp_path, device, dtype).trainer(LORA, None) as worker,
    ):
        fits = family != "bloom" and can_run_packed_rows(dtype)
        assert type(worker.runner) is (PackedRunner if fits else PaddedRunner), caplog.text
        assert ("is trained on padded rows" in caplog.text) != fits


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", HALVES)
def test_packed_rows_give_the_loss_and_gradient_of_padded_ones(
    folders: dict[str, Path], device: str, family: str, dtype: internals.Dtype
) -> None:
    if not can_run_packed_rows(dtype):
        pytest.skip("this GPU has no flash attention: its capability is below 8.0")
    kinds: list[internals.Dtype] = [dtype, dtype, "float32"]
    students = [internals.with_adapter(internals.model(folders[family], device, kind)) for kind in kinds]
    packed, padded, exact = (
        loss_and_gradient(runner(student))
        for runner, student in zip((PackedRunner, PaddedRunner, PaddedRunner), students, strict=True)
    )
    assert abs(packed[0] - exact[0]) <= 2 * abs(padded[0] - exact[0]) + FLOOR[dtype] * exact[0]
    assert relative_error(packed[1], exact[1]) <= 2 * relative_error(padded[1], exact[1]) + FLOOR[dtype]


@pytest.mark.parametrize("dtype", ["auto", "float16"])
def test_training_on_packed_rows_is_like_training_on_padded_ones(
    folders: dict[str, Path], device: str, dtype: internals.Dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = trained(folders["qwen3"], tmp_path, device, dtype)
    internals.refuse_packed_rows(monkeypatch)
    padded = trained(folders["qwen3"], tmp_path, device, dtype)
    assert type(padded[2]) is PaddedRunner
    assert packed[0][-1] < 0.8 * packed[0][0]
    assert packed[0] == pytest.approx(padded[0], rel=0.03)
    assert functional.cosine_similarity(packed[1], padded[1], dim=0) > 0.95


@pytest.mark.parametrize("dtype", ["auto", "float32", "float16"])
def test_recomputed_layers_give_the_same_training(
    folders: dict[str, Path], device: str, dtype: internals.Dtype, tmp_path: Path
) -> None:
    default = trained(folders["qwen3"], tmp_path, device, dtype)
    with strictly_deterministic():
        recomputed, not_recomputed = (
            trained(folders["qwen3"], tmp_path, device, dtype, recompute=recompute) for recompute in (True, False)
        )
    assert recomputed[0] == not_recomputed[0]
    assert torch.equal(recomputed[1], not_recomputed[1])
    assert not_recomputed[0] == pytest.approx(default[0], rel=0.03)


def test_recomputed_layers_keep_less(folders: dict[str, Path], device: str, tmp_path: Path) -> None:
    sums = []
    for recompute in (False, True):
        sizes: list[int] = []

        def keep(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        opened = internals.student(folders["qwen3"], tmp_path, device, recompute=recompute)
        with opened.trainer(LORA, None) as worker, torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
            worker.step(batch(), 1e-3)
        sums.append(sum(sizes))
    assert sums[1] < 0.6 * sums[0]


@pytest.mark.parametrize("dtype", ["auto", "float32", "float16"])
def test_a_batch_in_parts_gives_the_losses_of_the_whole_batch(
    folders: dict[str, Path], device: str, dtype: internals.Dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(folders["llama"], tmp_path, device, dtype)
    internals.split_batches(monkeypatch, 80)
    parts = trained(folders["llama"], tmp_path, device, dtype)
    assert parts[0] == pytest.approx(whole[0], rel=1e-3 if dtype == "float32" or not ON_GPU else 0.03)


@pytest.mark.parametrize(("dtype", "max_error"), [("float32", 1e-5), ("bfloat16", 0.01), ("float16", 2e-3)])
@pytest.mark.parametrize("softcap", [None, 5.0])
def test_a_large_vocabulary_is_computed_for_a_few_tokens_at_a_time(
    device: str, dtype: str, max_error: float, softcap: float | None
) -> None:
    generator, vocabulary = torch.Generator().manual_seed(4), 131_072
    layer = torch.nn.Linear(64, vocabulary, bias=False).requires_grad_(False)
    layer.weight.copy_(torch.randn(vocabulary, 64, generator=generator) / 4)
    hidden = torch.randn(40, 64, generator=generator)
    targets = torch.randint(vocabulary, (40,), generator=generator).to(device)
    weights = torch.rand(40, generator=generator).to(device)
    layer, hidden = layer.to(device, getattr(torch, dtype)), hidden.to(device, getattr(torch, dtype))
    ours, exact = hidden.clone().requires_grad_(), hidden.double().requires_grad_()
    actual = internals.cross_entropy(ours, layer, softcap, targets, weights)
    logits = exact @ layer.weight.double().t()
    if softcap is not None:
        logits = (logits / softcap).tanh() * softcap
    expected = (functional.cross_entropy(logits, targets, reduction="none") * weights.double()).sum()
    torch.autograd.backward([actual, expected])
    assert actual.item() == pytest.approx(expected.item(), rel=max_error)
    assert ours.grad is not None
    assert exact.grad is not None
    assert relative_error(ours.grad.double(), exact.grad) <= max_error
