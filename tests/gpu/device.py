"""The device under test: which one it is, what is known about it, how much of its memory is in use."""

import gc
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import torch
from torch.backends import cudnn
from torch.utils import collect_env

Cudnn: Any = cudnn
Environment: Any = collect_env

DEVICE = os.environ.get("PDISTILL_GPU_DEVICE", "cuda")
"""Any CUDA device, or "cpu" for a dry run of the tests themselves."""
ON_GPU = DEVICE != "cpu"
HALVES = ("bfloat16", "float16")


def missing(vllm: bool = False) -> str | None:
    """Return why tests can't run, with vLLM or without it; None if they can."""
    if ON_GPU and not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no CUDA device"
    if vllm and find_spec("vllm") is None:
        return "vllm is not installed; on a machine with a GPU: pip install 'pdistill[vllm]'"
    return None


def has_flash_attention() -> bool:
    """Return whether the device supports torch's flash attention, as NVIDIA's GPUs do since Ampere."""
    return ON_GPU and torch.cuda.get_device_capability(DEVICE) >= (8, 0)


def facts() -> list[str]:
    """Return lines about the device, its driver and versions."""
    packages = ", ".join(f"{name} {_version(name)}" for name in ("torch", "transformers", "peft", "vllm"))
    system = f"Python {platform.python_version()}, {platform.platform()}"
    if missing() or not ON_GPU:
        return [f"device: {'none' if missing() else 'cpu, a dry run'}", packages, system]
    properties = torch.cuda.get_device_properties(DEVICE)
    return [
        f"device: {DEVICE} of {torch.cuda.device_count()}, {properties.name}, "
        f"capability {properties.major}.{properties.minor}, {properties.total_memory / 2**30:.1f} GiB",
        f"driver {Environment.get_nvidia_driver_version(Environment.run)}, CUDA {torch.version.cuda}, "
        f"cuDNN {Cudnn.version()}, bfloat16 in hardware: "
        f"{torch.cuda.is_bf16_supported(including_emulation=False)}, "
        f"varlen attention in torch: {find_spec('torch.nn.attention.varlen') is not None}",
        packages,
        system,
    ]


def memory_in_use() -> int:
    """Return the bytes of the tensors on the device that are still referenced."""
    gc.collect()
    if ON_GPU:
        torch.cuda.synchronize(DEVICE)
        return torch.cuda.memory_allocated(DEVICE)
    storages = {}
    for item in gc.get_objects():
        if issubclass(type(item), torch.Tensor) and item.device.type == "cpu":
            storages[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
    return sum(storages.values())


@contextmanager
def strictly_deterministic() -> Iterator[None]:
    """Raise errors for operations that have no deterministic form.

    A run only warns about them, and torch then uses flash attention's backward pass that is not deterministic.
    """
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=True)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
