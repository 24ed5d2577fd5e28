"""Training on packed rows: the loss and the gradients of each family are those of PEFT's own layers on each row alone."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from pdistill.backends.local.backend import LocalBackend
from pdistill.backends.local.kernels import packed_attention
from pdistill.backends.local.kernels.fit import UnfitError
from pdistill.backends.local.model import adapter
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.local.training import packed_runner
from pdistill.backends.local.training.packed_runner import PackedRunner
from pdistill.backends.local.training.padded_runner import PaddedRunner
from pdistill.backends.local.training.recompute import recompute_layers
from pdistill.backends.local.training.trainer import LocalTrainer
from pdistill.core.contract.batches import HardRow, hard_batch, hard_row
from pdistill.core.contract.interfaces import Lora
from tests.backends.tiny_models import make

SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "hidden_size": 64},
    "qwen3": {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 32},
    "mistral": {"num_attention_heads": 2},
    "gemma3": {"num_attention_heads": 4, "final_logit_softcapping": 5.0},
    "gpt2": {},
}
LENGTHS = (3, 70, 41, 4, 4, 130)
"""Longer than the sliding windows of 24; tiles of several rows, and of one."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: make(family, tmp_path_factory.mktemp(family), **shape) for family, shape in SHAPES.items()}


def attached(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A student whose adapter changes every layer's output."""
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).requires_grad_(False)
    student = adapter.attach(base, Lora(rank=4, seed=3), None, ())
    for number, parameter in enumerate(adapter.trainable_parameters(student)):
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(number))
    return student


def rows() -> list[HardRow]:
    generator = torch.Generator().manual_seed(5)
    given = []
    for place, length in enumerate(LENGTHS):
        tokens = torch.randint(0, 300, (length + 1,), generator=generator).tolist()
        given.append(hard_row(tokens[: max(1, length - 3 * place)], tokens[max(1, length - 3 * place) :]))
    return [row for row in hard_batch(given).rows if isinstance(row, HardRow)]


def plain(student: Any, given: list[HardRow]) -> float:
    """The loss and gradient by the model's own forward pass, one row at a time."""
    total = torch.tensor(0.0)
    for row in given:
        logits = student(input_ids=torch.tensor([list(row.ids)])).logits[0]
        nats = functional.cross_entropy(logits, torch.tensor(list(row.targets)), reduction="none")
        total = total + (nats * torch.tensor(list(row.weights))).sum()
    torch.autograd.backward(total)
    return total.item()


def gradients(student: Any) -> list[torch.Tensor]:
    return [parameter.grad for parameter in adapter.trainable_parameters(student)]  # type: ignore[misc]


def assert_same(student: Any, other: Any) -> None:
    for ours, theirs in zip(gradients(student), gradients(other), strict=True):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


@pytest.mark.parametrize("family", SHAPES)
def test_loss_and_gradients_are_those_of_each_row_alone(folders: dict[str, Path], family: str) -> None:
    student, other = attached(folders[family]), attached(folders[family])
    expected = plain(other, rows())
    assert PackedRunner(student).backward(rows()) == pytest.approx(expected, rel=1e-5)
    assert_same(student, other)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_16_bit_weights_are_trained_about_the_same(folders: dict[str, Path], family: str) -> None:
    student, other = attached(folders[family], torch.bfloat16), attached(folders[family])
    assert PackedRunner(student).backward(rows()) == pytest.approx(plain(other, rows()), rel=0.05)
    ours, theirs = (torch.cat([part.flatten() for part in gradients(one)]) for one in (student, other))
    assert ours.dtype == torch.float32
    assert functional.cosine_similarity(ours, theirs, dim=0) > 0.95


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_padded_rows_give_the_same(folders: dict[str, Path], family: str) -> None:
    student, other = attached(folders[family]), attached(folders[family])
    expected = plain(other, rows())
    assert PaddedRunner(student).backward(rows()) == pytest.approx(expected, rel=1e-5)
    assert_same(student, other)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_student_made_ready_for_packed_rows_still_takes_plain_ones(folders: dict[str, Path], family: str) -> None:
    student, other = attached(folders[family]), attached(folders[family])
    PackedRunner(student)
    ids = torch.tensor([[5, 9, 11, 4], [8, 9, 1, 0]])
    with torch.no_grad():
        assert torch.allclose(student(input_ids=ids).logits, other(input_ids=ids).logits, atol=1e-4)


def test_a_row_does_not_see_its_neighbours(folders: dict[str, Path]) -> None:
    runner = PackedRunner(attached(folders["qwen3"]))
    first, second, other = [3, 8, 2, 9], [7, 7, 5], [1, 4, 6]

    def hidden(given: list[list[int]], start: int) -> torch.Tensor:
        with torch.no_grad(), runner._at(range(start, start + len(first))) as places:
            return runner._hidden(given, places)

    seen = [hidden([first, other], 0), hidden([first, second], 0)]
    behind = hidden([other, first], len(other))
    assert torch.equal(seen[0], seen[1])
    assert torch.allclose(seen[0], behind, atol=1e-4)


def test_layers_computed_again_give_the_same_gradients_and_keep_less(folders: dict[str, Path]) -> None:
    student, other = attached(folders["qwen3"]), attached(folders["qwen3"])
    assert recompute_layers(student) == 2
    kept = []
    for runner in (PackedRunner(student), PackedRunner(other)):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):  # type: ignore[misc]
            runner.backward(rows())
        kept.append(sum(sizes))
    assert_same(student, other)
    assert kept[0] < kept[1] / 2


def test_recomputing_is_an_option(folders: dict[str, Path], tmp_path: Path) -> None:
    losses = []
    for recompute in (False, True):
        student = LocalBackend(LocalOptions(recompute=recompute)).student(str(folders["llama"]), tmp_path)
        with student.trainer(Lora(rank=4, seed=3), None) as worker:
            losses.append([worker.step(hard_batch(rows()), 1e-2).result().loss for _ in range(3)])
    assert losses[0] == losses[1]


def test_a_model_that_packed_rows_do_not_fit_is_trained_on_padded_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    student, other = (attached(make("bloom", tmp_path / "bloom")) for _ in range(2))
    expected = plain(other, rows())
    with caplog.at_level(logging.WARNING, "pdistill"):
        worker = LocalTrainer(student, "small", tmp_path, None)
    assert isinstance(worker.runner, PaddedRunner)
    assert "model 'small' is trained on padded rows" in caplog.text
    assert worker.runner.backward(rows()) == pytest.approx(expected, rel=1e-5)
    assert_same(student, other)


def test_an_output_layer_that_is_trained_gets_its_gradient(folders: dict[str, Path], tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(folders["llama"]).requires_grad_(False)
    student = adapter.attach(base, Lora(rank=4, seed=3), None, ("lm_head", "q_proj"))
    with pytest.raises(UnfitError, match="its output layer is trained"):
        PackedRunner(student)
    worker = LocalTrainer(student, "small", tmp_path, None)
    worker.runner.backward(rows())
    names = {name for name, parameter in student.named_parameters() if parameter.grad is not None}
    assert any("lm_head.lora_B" in name for name in names)


def test_a_window_that_a_layer_does_not_ask_for_is_found(folders: dict[str, Path]) -> None:
    student = attached(folders["gemma3"])
    student.get_base_model().config.sliding_window = 20
    with pytest.raises(UnfitError, match="sliding windows"):
        PackedRunner(student)


def test_a_model_with_other_logits_is_refused_and_left_as_it_was(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    student, other = attached(folders["llama"]), attached(folders["llama"])
    monkeypatch.setattr(packed_runner, "Tiles", lambda lengths: packed_attention.Tiles([sum(lengths)]))
    with pytest.raises(UnfitError, match="its logits differ by a fraction of"):
        PackedRunner(student)
    assert PaddedRunner(student).backward(rows()) == pytest.approx(plain(other, rows()), rel=1e-5)
    assert_same(student, other)
