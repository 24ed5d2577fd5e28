"""All that these tests take from inside of the local backend; nothing else in this folder imports its modules."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from pdistill.backends.local.attention import attend, attend_all, merged
from pdistill.backends.local.cascade import Cascade
from pdistill.backends.local.decoder import Decoder
from pdistill.backends.local.machine import Machine, check_device
from pdistill.backends.local.packed import Packed, UnfitError
from pdistill.backends.local.padded import Padded
from pdistill.backends.local.recompute import recompute_layers
from pdistill.backends.local.trainer import STATE_FILE, LocalTrainer
from pdistill.backends.local.vllm_sampler import VllmSampler

from pdistill.backends.local import LocalOptions, adapter, crossentropy, limits, tiles, trainer, vllm_engine
from pdistill.backends.local.backend import LocalBackend, LocalStudent, LocalTeacher
from pdistill.core.contract.interfaces import Lora

__all__ = [
    "STATE_FILE",
    "Cascade",
    "Decoder",
    "Dtype",
    "LocalStudent",
    "LocalTeacher",
    "LocalTrainer",
    "Packed",
    "Padded",
    "VllmSampler",
    "attend",
    "attend_all",
    "check_device",
    "merged",
    "recompute_layers",
]

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
WEIGHTS_FILE = adapter.WEIGHTS_FILE


def set_up(device: str) -> None:
    """Set torch up as a run on the device does."""
    LocalBackend(LocalOptions(device=device)).resolve(None)


def resolved(device: str, **options: Any) -> Machine:
    """Return what a stage stores of the device."""
    return LocalBackend(LocalOptions(device=device, **options)).resolved


def teacher(folder: Path, device: str, dtype: Dtype = "auto", **options: Any) -> LocalTeacher:
    """Return a model as a teacher; by the torch engine, where no other one is named."""
    named = {"engine": "torch", **options}
    return LocalBackend(LocalOptions(device=device, dtype=dtype, **named)).teacher(str(folder))


def student(folder: Path, directory: Path, device: str, dtype: Dtype = "auto", **options: Any) -> LocalStudent:
    """Return a model as a student; by the torch engine, where no other one is named."""
    named = {"engine": "torch", **options}
    return LocalBackend(LocalOptions(device=device, dtype=dtype, **named)).student(str(folder), directory)


def model(folder: Path, device: str, dtype: Dtype) -> Any:
    """Return a model with its weights, as a run loads it."""
    return teacher(folder, device, dtype).opened.base()


def limits_of(loaded: Any) -> limits.Limits:
    """Return what may run together of a loaded model."""
    return limits.limits(loaded)


def with_adapter(loaded: Any, std: float = 0.1) -> Any:
    """Return a student around a loaded model, whose adapter changes every layer's output."""
    made = adapter.attach(loaded, Lora(rank=4, seed=3), None, ())
    shake(adapter.trained_parameters(made), std)
    return made


def shake(parameters: Sequence[torch.Tensor], std: float = 0.1) -> None:
    """Fill parameters with noise that is the same on every device."""
    for number, parameter in enumerate(parameters):
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
        parameter.data.copy_(std * noise)


def gradients(made: Any) -> torch.Tensor:
    """Return all gradients of a student's adapter, one behind the other, in float32 on the CPU."""
    given = [parameter.grad for parameter in adapter.trained_parameters(made) if parameter.grad is not None]
    return torch.cat([gradient.flatten().float().cpu() for gradient in given])


def weights(made: Any) -> torch.Tensor:
    """Return all weights of a student's adapter, one behind the other, in float32 on the CPU."""
    return torch.cat([tensor.flatten() for _, tensor in sorted(adapter.tensors_of(made).items())])


def attend_rows(states: Sequence[torch.Tensor], lengths: Sequence[int], window: int | None) -> torch.Tensor:
    """Return the training's attention (1, T, H, D) over rows of these lengths, laid end to end.

    Args:
        states: queries (1, H, T, D), keys and values (1, K, T, D).
        lengths: of the rows.
        window: how many tokens back a token sees, itself included; None is all.
    """
    query, key, value = states
    layer = SimpleNamespace(layer_idx=0)
    return tiles.attend(layer, query, key, value, None, sliding_window=window, tiles=tiles.Tiles(lengths))[0]


def cross_entropy(hidden: torch.Tensor, layer: torch.nn.Linear, cap: float | None, *rest: torch.Tensor) -> torch.Tensor:
    """Return the training's loss in nats; `rest` is targets and weights."""
    return crossentropy.cross_entropy(hidden, layer, cap, *rest)


def refuse_packed_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainers take padded rows, as for models that packed ones do not fit."""

    def refused(_: Any) -> Any:
        raise UnfitError("the test says so")

    monkeypatch.setattr(trainer, "Packed", refused)


def split_batches(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    """Let trainers take no more tokens at a time."""
    for name in ("CPU_TOKENS", "GPU_TOKENS"):
        monkeypatch.setattr(trainer, name, tokens)


def vllm_is_open() -> bool:
    """Return whether a vLLM engine holds memory."""
    return bool(vllm_engine._open)


def close_vllm() -> None:
    """Guarantee that no vLLM engine holds memory."""
    vllm_engine.close()
