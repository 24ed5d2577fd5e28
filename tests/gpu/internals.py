"""Everything that these tests use from inside the local backend: nothing else in this folder imports its modules."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch

from pdistill.backends.local.backend import LocalBackend, LocalStudent, LocalTeacher
from pdistill.backends.local.kernels import packed_attention
from pdistill.backends.local.kernels.cross_entropy import cross_entropy
from pdistill.backends.local.kernels.fit import UnfitError
from pdistill.backends.local.kernels.partial_attention import attend, attend_by_matmul, merge
from pdistill.backends.local.model import adapter
from pdistill.backends.local.model.machine import Machine, check_device
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.local.torch_engine.batch_limits import batch_limits
from pdistill.backends.local.torch_engine.cascade import CascadeEngine
from pdistill.backends.local.torch_engine.decoder import Decoder
from pdistill.backends.local.training import trainer
from pdistill.backends.local.training.packed_runner import PackedRunner
from pdistill.backends.local.training.padded_runner import PaddedRunner
from pdistill.backends.local.training.trainer import STATE_FILE
from pdistill.backends.local.vllm import engine as vllm_engine
from pdistill.backends.local.vllm.sampler import VllmSampler
from pdistill.core.contract.interfaces import Lora

__all__ = [
    "STATE_FILE",
    "CascadeEngine",
    "Decoder",
    "Dtype",
    "LocalStudent",
    "LocalTeacher",
    "PackedRunner",
    "PaddedRunner",
    "VllmSampler",
    "attend",
    "attend_by_matmul",
    "batch_limits",
    "check_device",
    "cross_entropy",
    "merge",
]

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
WEIGHTS_FILE = adapter.WEIGHTS_FILE


def set_up(device: str) -> None:
    """Set up torch as a run on the device does."""
    LocalBackend(LocalOptions(device=device)).resolve(None)


def resolved(device: str, **options: Any) -> Machine:
    """Return what a stage stores about the device."""
    return LocalBackend(LocalOptions(device=device, **options)).resolved


def teacher(folder: Path, device: str, dtype: Dtype = "auto", **options: Any) -> LocalTeacher:
    """Return a model as a teacher; its engine is torch unless the options name another one."""
    values = {"engine": "torch", **options}
    return LocalBackend(LocalOptions(device=device, dtype=dtype, **values)).teacher(str(folder))


def student(folder: Path, directory: Path, device: str, dtype: Dtype = "auto", **options: Any) -> LocalStudent:
    """Return a model as a student; its engine is torch unless the options name another one."""
    values = {"engine": "torch", **options}
    return LocalBackend(LocalOptions(device=device, dtype=dtype, **values)).student(str(folder), directory)


def model(folder: Path, device: str, dtype: Dtype) -> Any:
    """Return a model with its weights, as a run loads it."""
    return teacher(folder, device, dtype).opened.base()


def with_adapter(loaded: Any, std: float = 0.1) -> Any:
    """Return a student: a loaded model with an adapter that changes every layer's output."""
    adapted = adapter.attach(loaded, Lora(rank=4, seed=3), None, ())
    fill_with_noise(adapter.trainable_parameters(adapted), std)
    return adapted


def fill_with_noise(parameters: Sequence[torch.Tensor], std: float = 0.1) -> None:
    """Fill parameters with noise that is the same on every device."""
    for number, parameter in enumerate(parameters):
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
        parameter.data.copy_(std * noise)


def gradients(adapted: Any) -> torch.Tensor:
    """Return all gradients of a student's adapter, concatenated, in float32 on the CPU."""
    parts = [parameter.grad for parameter in adapter.trainable_parameters(adapted) if parameter.grad is not None]
    return torch.cat([gradient.flatten().float().cpu() for gradient in parts])


def weights(adapted: Any) -> torch.Tensor:
    """Return all weights of a student's adapter, concatenated, in float32 on the CPU."""
    return torch.cat([tensor.flatten() for _, tensor in sorted(adapter.adapter_tensors(adapted).items())])


def attend_rows(states: Sequence[torch.Tensor], lengths: Sequence[int], window: int | None) -> torch.Tensor:
    """Return training's attention (1, T, H, D) over rows of these lengths, laid end to end.

    Args:
        states: queries (1, H, T, D), keys and values (1, K, T, D).
        lengths: tokens of each row.
        window: how many tokens each token sees, counted back from itself; None is all.
    """
    query, key, value = states
    layer = SimpleNamespace(layer_idx=0)
    tiles = packed_attention.Tiles(lengths)
    return packed_attention.attend(layer, query, key, value, None, sliding_window=window, tiles=tiles)[0]


def refuse_packed_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make trainers fall back to padded rows, as they do for models that can't run packed ones."""

    def refuse(_: Any) -> Any:
        raise UnfitError("refused by the test")

    monkeypatch.setattr(trainer, "PackedRunner", refuse)


def split_batches(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    """Make trainers split batches into parts of at most this many tokens."""
    for name in ("CPU_TOKENS_PER_PART", "GPU_TOKENS_PER_PART"):
        monkeypatch.setattr(trainer, name, tokens)


def vllm_is_open() -> bool:
    """Return whether a vLLM engine is open."""
    return bool(vllm_engine._engines)


def close_vllm() -> None:
    """Close the open vLLM engine, if there is one."""
    vllm_engine.close_engine()
