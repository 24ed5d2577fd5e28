"""The device under test: which one, what is known about it, how much of its memory is held."""

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
"""Any CUDA device, or "cpu" to try the tests themselves out."""
ON_GPU = DEVICE != "cpu"
HALVES = ("bfloat16", "float16")


def missing(vllm: bool = False) -> str | None:
    """Return why tests can't be run, with vLLM or without; None where they can."""
    if ON_GPU and not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no CUDA device"
    if vllm and find_spec("vllm") is None:
        return "vllm is not installed; on a machine with a GPU: pip install 'pdistill[vllm]'"
    return None


def has_flash_attention() -> bool:
    """Return whether the device has torch's flash attention: NVIDIA's GPUs since Ampere."""
    return ON_GPU and torch.cuda.get_device_capability(DEVICE) >= (8, 0)


def facts() -> list[str]:
    """Return lines on device, driver and versions."""
    packages = ", ".join(f"{name} {_version(name)}" for name in ("torch", "transformers", "peft", "vllm"))
    system = f"Python {platform.python_version()}, {platform.platform()}"
    if missing() or not ON_GPU:
        return [f"device: {'none' if missing() else 'cpu, to try the tests out'}", packages, system]
    found = torch.cuda.get_device_properties(DEVICE)
    return [
        f"device: {DEVICE}, {found.name}, capability {found.major}.{found.minor}, {found.total_memory / 2**30:.1f} GiB, "
        f"one of {torch.cuda.device_count()}",
        f"driver {Environment.get_nvidia_driver_version(Environment.run)}, CUDA {torch.version.cuda}, "
        f"cuDNN {Cudnn.version()}, bfloat16 in hardware: "
        f"{torch.cuda.is_bf16_supported(including_emulation=False)}, "
        f"varlen attention in torch: {find_spec('torch.nn.attention.varlen') is not None}",
        packages,
        system,
    ]


def held() -> int:
    """Return the bytes of tensors on the device that something still refers to."""
    gc.collect()
    if ON_GPU:
        torch.cuda.synchronize(DEVICE)
        return torch.cuda.memory_allocated(DEVICE)
    storages = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), torch.Tensor) and thing.device.type == "cpu":
            storages[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes()
    return sum(storages.values())


@contextmanager
def strictly_deterministic() -> Iterator[None]:
    """Refuse operations without a deterministic form.

    A run only warns of them, and then torch takes the backward pass of flash attention that is not deterministic.
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
